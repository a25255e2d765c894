#!/usr/bin/env python3
"""The training step of dlqat in plain PyTorch: what a user would write instead, to measure against.

    peer_torch.py --model PATH --data ROWS.json --config f32-padded [--steps 4] [--phase 2] [--expect RUN/log.jsonl] ..
    peer_torch.py .. --start RUN0/checkpoint-1/state.safetensors --expect RUN/log.jsonl     to check this peer itself
    peer_torch.py --peak [--size 4096]

transformers' decoder, eager, sdpa attention, with every linear of the blocks replaced by a DL-QAT one (W0 frozen; s, b, m per
group; A, B; straight-through rounding), torch's fused AdamW. --config is words joined by "-":
    f32 | bf16        bf16: under autocast
    padded | sorted   rows in the order of the file, padded to the longest of the batch; or batches of rows of like length
    labels            logits at label tokens alone (else at every token, as transformers' own loss does)
sorted: the first batch is the file's; then a pool of --pool batches is sorted by length, cut into batches, and of these
steps - 1 are taken at equal distances, so that a few steps stand for all lengths.

--model: a GGUF file or a Hugging Face directory. Prints a JSON object for each step, the last line is the run's.
--expect: a log of `dlqat train --no-shuffle` with the same options: tokens and labels of every step of the same rows must be
the same and the first step's loss must agree (f32: to 1e-4 of it, forty times what is seen; bf16: 1e-2, three times what
rounding the inputs of products to 8 bits was seen to move it), or the exit status is 1. Needs torch, transformers and, for
GGUF, gguf.
"""
import argparse, json, os, pathlib, re, resource, sys, time
import torch
from torch import nn
import torch.nn.functional as F

TOLERANCE = {"f32": 1e-4, "bf16": 1e-2}

# ---- The method ---------------------------------------------------------------------------------------------------------


class Codes(torch.autograd.Function):
    """round(v), clipped. The gradient passes where round(v) was within the bounds, also at them, where torch's clamp lets none
    through."""

    @staticmethod
    def forward(ctx, v, low, high):
        r = v.round()
        ctx.save_for_backward((r >= low) & (r <= high))
        return r.clamp_(low, high)

    @staticmethod
    def backward(ctx, g): return g * ctx.saved_tensors[0], None, None


class Stored(torch.autograd.Function):
    """To f16 and back. The gradient passes."""

    @staticmethod
    def forward(ctx, x): return x.half().to(x.dtype)

    @staticmethod
    def backward(ctx, g): return g


class DlqatLinear(nn.Module):
    """W_hat = S u + O with S = R(m s), O = R(m (b + Qn s)), u = clip(round((V - b)/s)) - Qn, V = W0 + B A; R rounds to f16."""

    def __init__(self, linear, bits, group, rank, phase):
        super().__init__()
        w = linear.weight.detach().float()
        self.bias, self.shape, self.group = linear.bias, w.shape, group
        self.Qn, self.Qp = -2**(bits - 1), 2**(bits - 1) - 1
        self.register_buffer("W0", w)
        low, high = w.view(w.shape[0], -1, group).aminmax(dim=-1)
        levels, half = 2**bits, 2**(bits - 1)
        s = (high - low) / (levels - 1)
        self.s = nn.Parameter(torch.where(s > 0, s, 2.0**-14), requires_grad=phase == 1)
        self.b = nn.Parameter((half * high + (half - 1) * low) / (levels - 1), requires_grad=phase == 1)
        self.m = nn.Parameter(torch.ones_like(self.s), requires_grad=phase == 2)
        self.A = nn.Parameter(torch.randn(rank, w.shape[1]) / rank, requires_grad=phase == 2)
        self.B = nn.Parameter(torch.zeros(w.shape[0], rank), requires_grad=phase == 2)

    def forward(self, x):
        V = self.W0 + self.B @ self.A if self.B.requires_grad else self.W0
        v = (V.view(*self.s.shape, self.group) - self.b[..., None]) / self.s[..., None]
        u = Codes.apply(v, self.Qn, self.Qp) - self.Qn
        S = Stored.apply(self.m * self.s)
        O = Stored.apply(self.m * (self.b + self.Qn * self.s))
        return F.linear(x, (S[..., None] * u + O[..., None]).view(self.shape), self.bias)


# ---- The model ----------------------------------------------------------------------------------------------------------

GGUF_LINEARS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
                "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
                "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
GGUF_REST = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
             "output.weight": "lm_head.weight"}


def open_gguf(path):
    """A llama from GGUF, de-quantized to f32; the rows of q and k go back from GGUF's pairs to halves."""
    import gguf
    from transformers import LlamaConfig, LlamaForCausalLM
    reader = gguf.GGUFReader(path)
    value = lambda key: reader.fields[key].contents() if key in reader.fields else None
    if value("general.architecture") != "llama": sys.exit(f"{path}: this peer reads llama from GGUF alone")
    get = lambda key: value("llama." + key)
    tensors = {t.name: t for t in reader.tensors}
    heads, kv_heads = get("attention.head_count"), get("attention.head_count_kv")
    config = LlamaConfig(hidden_size=get("embedding_length"), intermediate_size=get("feed_forward_length"),
                         num_hidden_layers=get("block_count"), num_attention_heads=heads, num_key_value_heads=kv_heads,
                         vocab_size=int(tensors["token_embd.weight"].shape[1]),
                         rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
                         rope_parameters={"rope_type": "default", "rope_theta": get("rope.freq_base") or 10000.0},
                         max_position_embeddings=get("context_length"), tie_word_embeddings="output.weight" not in tensors,
                         attn_implementation="sdpa")
    with torch.device("meta"): model = LlamaForCausalLM(config)
    state = {}
    for name, t in tensors.items():
        w = torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).copy()).float()
        if match := re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name):
            if match[2] in ("attn_q", "attn_k"):
                n = heads if match[2] == "attn_q" else kv_heads
                w = w.view(n, -1, 2, w.shape[-1]).transpose(1, 2).reshape(w.shape)
            name = f"model.layers.{match[1]}.{GGUF_LINEARS[match[2]]}.weight"
        elif name in GGUF_REST: name = GGUF_REST[name]
        else: continue
        state[name] = w
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    # made on the meta device, and in no file
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    assert not any(p.is_meta for p in model.parameters())
    return model


def open_frozen(path):
    """A GGUF file or a directory, in f32."""
    from transformers import AutoModelForCausalLM
    model = (open_gguf(path) if os.path.isfile(path) else
             AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa"))
    return model.requires_grad_(False)


def open_tokenizer(path):
    from transformers import AutoTokenizer
    if not os.path.isfile(path): return AutoTokenizer.from_pretrained(path)
    folder, name = os.path.split(path)
    tokenizer = AutoTokenizer.from_pretrained(folder or ".", gguf_file=name)
    from gguf import GGUFReader
    pre = GGUFReader(path).fields.get("tokenizer.ggml.pre")
    if pre and pre.contents() == "smollm":  # which transformers does not read: digits stand alone before the words are split
        from tokenizers import pre_tokenizers as split
        tokenizer.backend_tokenizer.pre_tokenizer = split.Sequence([split.Digits(individual_digits=True),
                                                                    split.ByteLevel(add_prefix_space=False)])
    return tokenizer


def open_model(args):
    model = open_frozen(args.model)
    for layer in model.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, child in list(part.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(part, name, DlqatLinear(child, args.bits, args.group_size, args.rank, args.phase))
    return model.train()


# ---- The rows -----------------------------------------------------------------------------------------------------------

ALPACA = ("Below is an instruction that describes a task{0}. Write a response that appropriately completes the request.\n\n"
          "### Instruction:\n{1}{2}\n\n### Response:")


def alpaca_prompt(row):
    given = row.get("input")
    return ALPACA.format(", paired with an input that provides further context" if given else "", row["instruction"],
                         "\n\n### Input:\n" + given if given else "")


def read_rows(args):
    """[[ids, tokens of the prompt]] as `dlqat train --template alpaca` has them: the output with EOS behind it is learned."""
    if args.rows_cache and os.path.exists(args.rows_cache): return json.load(open(args.rows_cache))
    tokenizer = open_tokenizer(args.model)
    text = pathlib.Path(args.data).read_text()
    data = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
    encode = lambda s: tokenizer(s, add_special_tokens=False)["input_ids"]
    rows = []
    for row in data[:args.batch_size * (args.pool + args.steps)]:
        if "text" in row: prompt, whole = [], encode(row["text"])
        else: prompt, whole = encode(alpaca_prompt(row)), encode(alpaca_prompt(row) + row["output"])
        ids = (whole + [tokenizer.eos_token_id])[:args.max_length]
        if len(ids) > max(len(prompt), 1): rows.append([ids, len(prompt)])  # else no label is left
    if args.rows_cache: pathlib.Path(args.rows_cache).write_text(json.dumps(rows))
    return rows


def batches(args, rows):
    n, count = args.batch_size, args.steps
    taken = [[rows[(i * n + r) % len(rows)] for r in range(n)] for i in range(count)]
    if "sorted" not in args.words or count < 2: return taken
    pool = sorted(rows[n:n * (1 + args.pool)], key=lambda row: len(row[0]))
    cut = [pool[i:i + n] for i in range(0, len(pool) - n + 1, n)]
    return taken[:1] + [cut[int((k + 0.5) * len(cut) / (count - 1))] for k in range(count - 1)]


def pad(batch):
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for i, (row, prompt) in enumerate(batch):
        t = torch.tensor(row)
        ids[i, :len(row)], mask[i, :len(row)] = t, 1
        first = max(prompt, 1)  # the first token is no target: nothing comes before it
        labels[i, first:len(row)] = t[first:]
    return ids, mask, labels


# ---- The step -----------------------------------------------------------------------------------------------------------


def loss_of(model, words, ids, mask, labels):
    if "labels" not in words: return model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
    hidden = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    where = wanted != -100
    return F.cross_entropy(model.lm_head(hidden[where]).float(), wanted[where])


def train(args):
    torch.manual_seed(args.seed)
    rows, model = read_rows(args), open_model(args)
    if args.start: load_start(model, args.start)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.learning_rate, weight_decay=0.0, fused=True)
    steps, loaded = [], peak_rss()
    for number, batch in enumerate(batches(args, rows), 1):
        ids, mask, labels = pad(batch)
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in args.words):
            loss = loss_of(model, args.words, ids, mask, labels)
        loss.backward()
        if args.start: norm = torch.stack([p.grad.norm() for p in trained]).norm().item()
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.perf_counter() - begin
        lengths = [len(row) for row, _ in batch]
        steps.append(dict(step=number, loss=loss.item(), tokens=sum(lengths), labels=int((labels != -100).sum()),
                          padded=ids.numel(), pairs=sum(n * (n + 1) // 2 for n in lengths), seconds=seconds))
        if args.start: steps[-1]["grad_norm"] = norm
        print(json.dumps(steps[-1]), flush=True)
    timed = steps[args.discard:]
    spent = sum(s["seconds"] for s in timed) or float("nan")
    print(json.dumps(dict(config=args.config, tokens_per_second=sum(s["tokens"] for s in timed) / spent,
                          padded_per_second=sum(s["padded"] for s in timed) / spent, peak_rss_bytes=peak_rss(),
                          loaded_rss_bytes=loaded, trainable=sum(p.numel() for p in trained),
                          threads=torch.get_num_threads(), versions=versions())))
    return not args.expect or agrees(args, steps)


def load_start(model, path):
    """The trainable numbers of a dlqat checkpoint; one made with --learning-rate 0 holds those that a run starts with."""
    from safetensors.torch import load_file
    state = {name: value for name, value in load_file(path).items() if name.rsplit(".", 1)[1] in ("s", "b", "m", "A", "B")}
    unknown = model.load_state_dict(state, strict=False).unexpected_keys
    if unknown: sys.exit(f"{path}: {unknown[0]} is not in this model")


def agrees(args, steps):
    """Whether the same work was done; what differs is said."""
    wanted = {line["step"]: line for line in map(json.loads, open(args.expect)) if "loss" in line}
    allowed = TOLERANCE["bf16" if "bf16" in args.words else "f32"]
    wrong = []

    def compare(what, step, tolerance):
        log = wanted[step["step"]]
        here, there = step[what], log.get("step_" + what, log.get(what))
        if not abs(here - there) <= tolerance * abs(there):
            wrong.append(f"step {step['step']}: {what} {here} here, {there} in {args.expect}")

    for s in steps[:1] if "sorted" in args.words else [s for s in steps if s["step"] in wanted]:
        compare("tokens", s, 0)
        compare("labels", s, 0)
        # From the same start all losses agree. Else the random A differ, which the first loss does not depend on (B is 0).
        if args.start or s["step"] == 1: compare("loss", s, allowed)
        # dlqat takes m s for S in gradients, autograd the S that was rounded to f16: up to 2^-11 apart.
        if args.start and s["step"] == 1: compare("grad_norm", s, max(allowed, 2**-11))
    for line in wrong: print(line, file=sys.stderr)
    return not wrong


# ---- The fastest product ------------------------------------------------------------------------------------------------


def peak(args):
    """Rates of torch's own square product; of a type that would take more than a minute, the rate of a small one."""
    for dtype, kind in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
        rates = {}
        for size in (args.size // 8, args.size):
            x, w = (torch.rand(size, size).sub_(0.5).to(dtype) for _ in range(2))
            times = []
            for _ in range(args.repeats + 1):
                begin = time.perf_counter()
                F.linear(x, w)
                times.append(time.perf_counter() - begin)
            times = sorted(times[1:])
            rates = dict(size=size, median=2 * size**3 / times[len(times) // 2], best=2 * size**3 / times[0])
            if 2 * args.size**3 / rates["best"] * (args.repeats + 1) > 60: break
        print(json.dumps(dict(who=f"torch {torch.__version__}", type=kind, threads=torch.get_num_threads(), **rates)),
              flush=True)
    return True


def peak_rss(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions():
    import transformers
    return dict(python=sys.version.split()[0], torch=torch.__version__, transformers=transformers.__version__,
                cpu_capability=torch.backends.cpu.get_cpu_capability())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model"), p.add_argument("--data")
    p.add_argument("--config", default="f32-padded")
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--discard", type=int, default=1, help="steps at the beginning that do not count")
    p.add_argument("--pool", type=int, default=50, help="batches that are sorted together, as transformers' group_by_length")
    p.add_argument("--phase", type=int, choices=(1, 2), default=2)
    p.add_argument("--bits", type=int, default=3)
    p.add_argument("--group-size", type=int, default=64)
    p.add_argument("--rank", type=int, default=16)
    p.add_argument("--batch-size", type=int, default=16)
    p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--learning-rate", type=float, default=2e-4)
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--rows-cache", help="file that keeps the tokenized rows from run to run")
    p.add_argument("--expect", help="log.jsonl of dlqat to agree with")
    p.add_argument("--start", help="state.safetensors of a dlqat checkpoint to begin with; then all steps' losses must agree")
    p.add_argument("--peak", action="store_true")
    p.add_argument("--size", type=int, default=4096)
    p.add_argument("--repeats", type=int, default=5)
    args = p.parse_args()
    args.words = args.config.split("-")
    if unknown := set(args.words) - {"f32", "bf16", "padded", "sorted", "labels"}:
        p.error(f"--config: {', '.join(unknown)}?")
    if not args.peak and not (args.model and args.data): p.error("--model and --data are needed")
    torch.set_num_threads(args.threads)
    sys.exit(0 if (peak if args.peak else train)(args) else 1)


if __name__ == "__main__": main()

#!/usr/bin/env python3
"""Lets the programs that users run judge dlqat's exports: MLX, gguf-py, llama.cpp, transformers.

    check_exports.py DLQAT MODEL [--full] [--text FILE] [--prompt TEXT]
    check_exports.py DLQAT RUN [--text FILE] [--prompt TEXT]
    check_exports.py DLQAT --random
    check_exports.py DLQAT --families

For every grid (bits x group x scale type x offset) that the model takes:
  quantize -> DIR             dlqat reports the hash of W_hat (XXH3-128 of all linears' f32 rows)
  export --format mlx         codes, S and O as MLX reads them are those of DIR; mx.dequantize in f32 has the same hash
  export --format gguf        gguf.dequantize, rows of q and k put back, has the same hash
  export --format hf          the f32 tensors have the same hash
and for the grids under RUN, in the real programs: greedy text of 32 tokens from mlx-lm (cast to f32) and logits of
transformers equal dlqat's text; llama.cpp's perplexity is within 0.1 % (F32) or 1 % (blocks) of `dlqat eval`.
A RUN's trained result is taken as it is, against the hash in its summary.json. --random makes a small model of its own whose
widths take every group. --families makes a small one of each family and compares the logits of every token in transformers,
mlx-lm and llama.cpp with those of transformers for the model before its export. Needs mlx-lm, gguf, llama-cpp-python, transformers,
torch, safetensors, xxhash. Prints one line per check; exit status 1 if any fails.
"""
import argparse, itertools, json, math, pathlib, re, shutil, subprocess, sys, tempfile
import gguf, mlx.core as mx, numpy as np, xxhash

LINEARS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
           "mlp.down_proj"]
GGUF_NAMES = dict(zip(LINEARS, ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]))
FULL = list(itertools.product([2, 3, 4, 5, 6, 7, 8], [32, 64, 128, -1], ["f16", "bf16", "f32"], ["float", "none"]))
SHORT = [(3, 64, "f16", "float"), (4, 32, "f16", "none"), (5, 64, "f16", "float"), (8, 32, "f16", "none"), (3, 64, "f32", "float"),
         (4, -1, "bf16", "float")]
RUN = [(3, 64, "f16", "float"), (4, 32, "f16", "none"), (3, 64, "f32", "float")]

failures = 0
count = 0


def check(what, ok, detail=""):
    global failures, count
    count += 1
    failures += not ok
    if not ok or detail: print(("ok    " if ok else "FAILED ") + what + (": " + detail if detail else ""), flush=True)


def dlqat(*args, may_fail=False):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if done.returncode and not may_fail:
        sys.exit(f"{' '.join(map(str, args))}: status {done.returncode}\n{done.stderr}")
    return done


def reported_hash(text):
    found = re.search(r"max \|dW\| ([^ ;]+).*hash of W_hat ([0-9a-f]{32}), of the model ([0-9a-f]{32})", text)
    return float(found[1]), found[2], found[3]


def hash_rows(matrices):
    h = xxhash.xxh3_128()
    for m in matrices: h.update(np.ascontiguousarray(m, dtype="<f4").tobytes())
    return h.hexdigest()


def modules(config): return [f"model.layers.{l}.{name}" for l in range(config["num_hidden_layers"]) for name in LINEARS]


def numbers(config, module):
    own = config["quantization"].get(module)
    q = own if isinstance(own, dict) else config["quantization"]
    return q["bits"], q["group_size"]


def unpack(words, width, bits):
    """Codes of rows of LSB-first u32 words."""
    stream = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, :width * bits]
    return np.packbits(stream.reshape(len(words), width, bits), axis=2, bitorder="little")[:, :, 0]


def as_f32(array): return np.array(array.astype(mx.float32))


# --- One judge per format ---------------------------------------------------------------------------------------------------

def judge_mlx(label, result, exported, want):
    ours, theirs = mx.load(str(result / "model.safetensors")), mx.load(str(exported / "model.safetensors"))
    config = json.loads((exported / "config.json").read_text())
    source = json.loads((result / "config.json").read_text())
    same, matrices = True, []
    for m in modules(config):
        bits, group = numbers(config, m)
        w, s, o = theirs[m + ".weight"], theirs[m + ".scales"], theirs[m + ".biases"]
        width = s.shape[1] * group
        times = s.shape[1] // ours[m + ".scales"].shape[1]
        same &= numbers(source, m)[0] == bits and s.dtype == ours[m + ".scales"].dtype
        same &= np.array_equal(as_f32(s), np.repeat(as_f32(ours[m + ".scales"]), times, axis=1))
        same &= np.array_equal(as_f32(o), np.repeat(as_f32(ours[m + ".biases"]), times, axis=1))
        one = mx.ones(s.shape, dtype=mx.float32)
        codes = np.array(mx.dequantize(w, one, one * 0, group_size=group, bits=bits))
        same &= np.array_equal(codes, unpack(np.array(ours[m + ".weight"]), width, bits))
        matrices.append(mx.dequantize(w, s.astype(mx.float32), o.astype(mx.float32), group_size=group, bits=bits))
    check(label + " mlx: codes, S, O", same)
    check(label + " mlx: hash of mx.dequantize", hash_rows(matrices) == want)


def judge_gguf(label, path, want):
    reader = gguf.GGUFReader(path)
    field = lambda key: reader.get_field(key).contents()
    arch = field("general.architecture")
    heads, kv_heads = field(f"{arch}.attention.head_count"), field(f"{arch}.attention.head_count_kv")
    tensors = {t.name: t for t in reader.tensors}
    matrices, types = [], set()
    for l in range(field(f"{arch}.block_count")):
        for name in LINEARS:
            t = tensors[f"blk.{l}.{GGUF_NAMES[name]}.weight"]
            types.add(t.tensor_type.name)
            w = gguf.dequantize(t.data, t.tensor_type).astype(np.float32).reshape(t.shape[::-1])
            h = {"self_attn.q_proj": heads, "self_attn.k_proj": kv_heads}.get(name)
            if h and arch == "llama": w = w.reshape(h, w.shape[0] // h // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
            matrices.append(w)
    check(label + f" gguf ({', '.join(sorted(types))}): hash of gguf.dequantize", hash_rows(matrices) == want)
    return types


def judge_hf(label, directory, want):
    from safetensors.numpy import load_file
    weights = load_file(directory / "model.safetensors")
    config = json.loads((directory / "config.json").read_text())
    check(label + " hf: hash", hash_rows(weights[m + ".weight"] for m in modules(config)) == want)


# --- The programs themselves -----------------------------------------------------------------------------------------------

def mlx_greedy(model, ids, tokenizer, n=32):
    from mlx_lm.models.cache import make_prompt_cache
    cache, made, given = make_prompt_cache(model), [], ids
    while len(made) < n:
        made.append(mx.argmax(model(mx.array([given]), cache=cache)[0, -1]).item())
        given = made[-1:]
        if made[-1] == tokenizer.eos_token_id: break
    return tokenizer.decode(made, skip_special_tokens=True).strip()


def transformers_greedy(directory, ids, tokenizer, n=32):
    import torch, transformers
    torch.set_num_threads(2)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with torch.no_grad(): made = model.generate(torch.tensor([ids]), max_new_tokens=n, do_sample=False)[0, len(ids):]
    return tokenizer.decode(made, skip_special_tokens=True).strip()


def run_programs(program, label, result, exports, types, prompt, text):
    import mlx_lm, transformers
    transformers.logging.set_verbosity_error()
    hf_tokenizer = transformers.AutoTokenizer.from_pretrained(exports["hf"])
    ids = hf_tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False)
    ours = dlqat(program, "generate", "--model", result, "--prompt", prompt, "--max-new-tokens", 32).stdout.strip()

    model, tokenizer = mlx_lm.load(str(exports["mlx"]))
    model.set_dtype(mx.float32)
    theirs = mlx_greedy(model, list(ids), hf_tokenizer)
    check(label + " mlx-lm: greedy text of 32 tokens", theirs == ours, repr(theirs) if theirs == ours else f"{theirs!r} != {ours!r}")
    check(label + " mlx-lm: its tokenizer", tokenizer.encode(prompt) == hf_tokenizer.encode(prompt))

    theirs = transformers_greedy(exports["hf"], list(ids), hf_tokenizer)
    check(label + " transformers: greedy text of 32 tokens", theirs == ours, "" if theirs == ours else f"{theirs!r} != {ours!r}")

    figures = exports["hf"].parent / "figures.json"
    dlqat(program, "eval", "--model", result, "--ppl", text, "--window", WINDOW, "--max-windows", WINDOWS, "--json", figures)
    mine = json.loads(figures.read_text())["ppl_window"]
    llama_perplexity(label, exports["gguf"], types, prompt, text, hf_tokenizer, mine)
    if types == {"F32"}: return
    plain = exports["hf"].parent / "plain.gguf"  # the same values as F32
    dlqat(program, "export", "--model", exports["hf"], "--format", "gguf", "--out", plain)
    llama_perplexity(label, plain, {"F32"}, prompt, text, hf_tokenizer, mine)


WINDOW, WINDOWS = 512, 4


def llama_perplexity(label, path, types, prompt, text, hf_tokenizer, mine):
    import llama_cpp
    llama = llama_cpp.Llama(str(path), n_ctx=WINDOW, n_batch=WINDOW, n_threads=2, logits_all=True, verbose=False)
    check(label + " llama.cpp: ids", llama.tokenize(prompt.encode(), add_bos=False, special=False) == hf_tokenizer.encode(prompt, add_special_tokens=False))
    tokens = llama.tokenize(pathlib.Path(text).read_bytes()[:WINDOWS * WINDOW * 8], add_bos=False, special=False)
    total = 0.0
    for i in range(WINDOWS):
        piece = tokens[i * WINDOW:(i + 1) * WINDOW]
        llama.reset(); llama.eval(piece)
        scores = np.array(llama.scores[:WINDOW - 1], dtype=np.float64)
        top = scores.max(1)
        total += (top + np.log(np.exp(scores - top[:, None]).sum(1)) - scores[np.arange(WINDOW - 1), piece[1:]]).mean()
    theirs = math.exp(total / WINDOWS)
    limit = 0.001 if types == {"F32"} else 0.01
    check(label + f" llama.cpp: perplexity within {limit:.1%}", abs(theirs / mine - 1) < limit,
          f"{theirs:.4f} against {mine:.4f} ({theirs / mine - 1:+.3%}), {', '.join(sorted(types))}")


# --- Families ---------------------------------------------------------------------------------------------------------------

def make_family(directory, name, **extra):
    """A small random model whose norms and biases are not what they start as, with a tokenizer of the tests'."""
    import torch, transformers
    torch.manual_seed(5)
    config = transformers.AutoConfig.for_model(
        name, vocab_size=320, hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5, bos_token_id=3, eos_token_id=2, **extra)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.ndim == 1: value.add_(torch.randn_like(value) * 0.2)
            elif "proj" in key: value.mul_(6)  # attention that is not nearly even
    model.save_pretrained(directory)
    fixtures = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/eval/bos"
    for each in fixtures.glob("*token*"): shutil.copy(each, directory)
    shutil.copy(fixtures / "chat_template.jinja", directory)


def transformers_logits(directory, ids):
    import torch, transformers
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad(): return model(torch.tensor([ids])).logits[0].double().numpy()


def mlx_logits(directory, ids):
    import mlx_lm
    model, _ = mlx_lm.load(str(directory))
    model.set_dtype(mx.float32)
    return np.array(model(mx.array([ids]))[0].astype(mx.float32), dtype=np.float64)


def llama_logits(path, ids):
    import llama_cpp
    f32 = 0  # GGML_TYPE_F32, for the cache
    llama = llama_cpp.Llama(str(path), n_ctx=len(ids), n_batch=len(ids), n_threads=1, logits_all=True, type_k=f32, type_v=f32, verbose=False)
    llama.eval(ids)
    return np.array(llama.scores[:len(ids)], dtype=np.float64)


def near(label, theirs, expected):
    error = np.linalg.norm(theirs - expected, axis=1) / np.linalg.norm(expected, axis=1)
    check(label, error.max() < 1e-4, f"logits within {error.max():.1e} at token {error.argmax()} of {len(error)}")


def check_families(program, place):
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    llama3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
    ids = [3] + np.random.default_rng(1).integers(4, 320, 47).tolist()
    for label, name, extra in [("llama", "llama", {}), ("llama, llama3 scaling, tied", "llama", dict(rope_parameters=llama3, tie_word_embeddings=True)),
                               ("mistral", "mistral", dict(sliding_window=None)), ("mistral, window 8", "mistral", dict(sliding_window=8)),
                               ("qwen2", "qwen2", dict(use_sliding_window=False)), ("qwen2, tied", "qwen2", dict(tie_word_embeddings=True)),
                               ("qwen2, window 8", "qwen2", dict(use_sliding_window=True, sliding_window=8, max_window_layers=1)),
                               ("qwen3, head width 32", "qwen3", dict(head_dim=32)),
                               ("qwen3, window 8", "qwen3", dict(head_dim=32, use_sliding_window=True, sliding_window=8, max_window_layers=1))]:
        here = place / "family"
        here.mkdir()
        make_family(here / "source", name, **extra)
        expected = transformers_logits(here / "source", ids)
        one_export(program, label + " as it is", here / "source", here / "plain", ids, expected)
        # With f32 scales no block of GGUF holds the grid, so that llama.cpp multiplies in f32 too.
        dlqat(program, "quantize", "--model", here / "source", "--out", here / "result", "--bits", 4, "--group-size", 32, "--scale-dtype", "f32")
        one_export(program, label + " 4 bit", here / "result", here / "rounded", ids, None)
        shutil.rmtree(here)


def one_export(program, label, source, place, ids, expected):
    place.mkdir()
    for kind, judge in (("hf", transformers_logits), ("mlx", mlx_logits), ("gguf", llama_logits)):
        target = place / f"model.{kind}"
        done = dlqat(program, "export", "--model", source, "--format", kind, "--out", target, may_fail=True)
        if done.returncode:
            refusal = done.stderr.strip().splitlines()[-1]
            check(f"{label}: {kind}", "sliding window" in refusal, "refused: " + refusal)
            continue
        theirs = judge(target, ids)
        if expected is None: expected = theirs
        # Where it says that a program has no window, what that program computes is the model's within the window.
        told = re.search(r"no sliding window.*more than (\d+) tokens", done.stdout)
        n = int(told[1]) if told else len(ids)
        near(f"{label}: {kind}" + (f", window {n}" if told else ""), theirs[:n], expected[:n])


# --- The matrix ---------------------------------------------------------------------------------------------------------------

def make_random(directory):
    import torch, transformers
    torch.manual_seed(3)
    config = transformers.LlamaConfig(vocab_size=96, hidden_size=128, intermediate_size=256, num_hidden_layers=2,
                                      num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128)
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(directory)
    return directory


def one_grid(program, source, grid, place, args):
    bits, group, scale, offset = grid
    label = f"{bits} bit, group {group}, {scale}, offset {offset}:"
    result = place / "result"
    made = dlqat(program, "quantize", "--model", source, "--out", result, "--bits", bits, "--group-size", group, "--scale-dtype",
                 scale, "--offset", offset, may_fail=True)
    if made.returncode:
        print("----  " + label + " refused: " + made.stderr.strip().splitlines()[-1], flush=True)
        return
    worst, want, source_hash = reported_hash(made.stdout)
    check(label + " result: max |dW| 0, same hash", worst == 0 and want == source_hash)
    run = not args.random and grid in RUN
    judge_result(program, label, result, result, want, bits, place, args, run)


def one_run(program, run, place, args):
    """A finished run: what its trainer said of the W_hat of its last step is what every export must give."""
    summary = json.loads((run / "summary.json").read_text())
    label = f"{summary['method']}, {summary['bits']} bit, group {summary['group_size']}, {summary['steps']} steps:"
    check(label + " result: max |dW| 0", summary["max_abs_dw"] == 0)
    judge_result(program, label, run, run / "model", summary["w_hat_xxh3_128"], summary["bits"], place, args, True)


def judge_result(program, label, source, result, want, bits, place, args, run):
    exports, types = {}, set()
    for kind in ("mlx", "gguf", "hf"):
        exports[kind] = place / ("model.gguf" if kind == "gguf" else kind)
        done = dlqat(program, "export", "--model", source, "--format", kind, "--out", exports[kind], may_fail=True)
        if done.returncode:
            check(label + f" {kind}", kind == "mlx" and bits == 7, "refused: " + done.stderr.strip().splitlines()[-1])
            continue
        check(label + f" {kind}: dlqat's own reading", reported_hash(done.stdout) == (0, want, want))
        if kind == "mlx": judge_mlx(label, result, exports[kind], want)
        if kind == "gguf": types = judge_gguf(label, exports[kind], want)
        if kind == "hf": judge_hf(label, exports[kind], want)
    print(f"      {label} done, W_hat {want}, GGUF as {', '.join(sorted(types))}", flush=True)
    if run and args.text: run_programs(program, label, source, exports, types, args.prompt, args.text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program"); parser.add_argument("model", nargs="?")
    parser.add_argument("--random", action="store_true"); parser.add_argument("--families", action="store_true"); parser.add_argument("--full", action="store_true")
    parser.add_argument("--bits", help="only these, e.g. 3,4")
    parser.add_argument("--text", help="a text of some 20 kB for perplexity; without it the programs are not run")
    parser.add_argument("--prompt", default="Name three rivers of Europe.")
    args = parser.parse_args()
    if bool(args.model) + args.random + args.families != 1: parser.error("give a model, or a run, or --random, or --families")
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        if args.families: return check_families(args.program, place)
        if args.model and (pathlib.Path(args.model) / "summary.json").exists(): return one_run(args.program, pathlib.Path(args.model), place, args)
        source = make_random(place / "source") if args.random else args.model
        for grid in FULL if args.full or args.random else SHORT:
            if args.bits and str(grid[0]) not in args.bits.split(","): continue
            (place / "grid").mkdir()
            one_grid(args.program, source, grid, place / "grid", args)
            shutil.rmtree(place / "grid")


if __name__ == "__main__":
    main()
    print(f"{count} checks, {failures} failed")
    sys.exit(bool(failures))

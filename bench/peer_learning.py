#!/usr/bin/env python3
"""What the recipes learn in PyTorch under the budget of `dlqat compare`: another program's answer to the same question.

    peer_learning.py --model MODEL.gguf --data alpaca.json --text wikitext2-valid.txt --methods dlqat,l4q:start=minmax,qalora
                     [--seeds 1,2,3] [--device cuda] --out learning.json [--expect COMPARISON/table.json]

--methods are written as `dlqat compare` writes them: a recipe and settings of its own (range, magnitude, clip-mask, start,
adapter-init). One budget for all: --steps of --batch-size rows, the first --phase1-steps of which train the grid where the
recipe has a phase 1; AdamW without weight decay, one constant rate, f32. Rows are shuffled by PyTorch's generator, A is drawn
by it too: losses differ from dlqat's as two seeds differ, so several --seeds tell how far apart two runs may be.
Perplexity is ppl_window (2,048 tokens, the first --windows). Runs that are in --out already are not repeated. --expect adds
dlqat's figures to the table. Needs torch, transformers and, for GGUF, gguf. Without a GPU a run takes most of an hour.
"""
import argparse, json, math, os, pathlib, statistics, sys, time
import torch
from torch import nn
import torch.nn.functional as F
import common, peer_torch

SLACK = 2.0**-12  # of the clip masks on v

RECIPES = {  # the axes on which they differ, in the words of dlqat's options
    "rtn": dict(adapter="none", range="fixed", start="minmax", magnitude="off", mask="code", init="", phase1=False),
    "dlqat": dict(adapter="lora", range="fixed", start="minmax", magnitude="on", mask="value", init="gaussian", phase1=True),
    "l4q": dict(adapter="lora", range="adaptive", start="l4q", magnitude="off", mask="value-closed", init="kaiming",
                phase1=False),
    "qalora": dict(adapter="pooled", range="fixed", start="minmax", magnitude="off", mask="code", init="xavier",
                   phase1=False),
}
SETTINGS = {"range": "range", "magnitude": "magnitude", "clip-mask": "mask", "start": "start", "adapter-init": "init"}


def parse(entry):
    name, *words = entry.split(":")
    if name not in RECIPES: sys.exit(f"--methods {entry}: {name} is none of {', '.join(RECIPES)}")
    recipe = dict(RECIPES[name])
    for word in words:
        key, _, value = word.partition("=")
        if key not in SETTINGS: sys.exit(f"--methods {entry}: {key} is none of {', '.join(SETTINGS)}")
        recipe[SETTINGS[key]] = value
    if recipe["range"] == "minmax": recipe["phase1"] = False
    return recipe


# ---- The weight ---------------------------------------------------------------------------------------------------------


class Codes(torch.autograd.Function):
    """clip(round(v), Qn, Qp). The gradient passes where the mask says "not clipped"."""

    @staticmethod
    def forward(ctx, v, Qn, Qp, mask):
        r = v.round()
        ctx.save_for_backward((r >= Qn) & (r <= Qp) if mask == "code" else
                              (v > Qn + SLACK) & (v < Qp - SLACK) if mask == "value" else
                              (v >= Qn - SLACK) & (v <= Qp + SLACK))
        return r.clamp_(Qn, Qp)

    @staticmethod
    def backward(ctx, g): return g * ctx.saved_tensors[0], None, None, None


def start_A(init, rank, columns, device):
    A = torch.empty(rank, columns, device=device)
    if init == "gaussian": return A.normal_(0, 1 / rank)
    if init == "kaiming": return nn.init.kaiming_uniform_(A, a=math.sqrt(5))
    if init == "xavier": return nn.init.xavier_uniform_(A)
    sys.exit(f"adapter-init {init}: gaussian, kaiming or xavier")


class RecipeLinear(nn.Module):
    """W_hat = S u + O, S = R(m s), O = R(m (b + Qn s) + pooled), u = clip(round((V - b)/s)) - Qn; V = W0 + B A inside the
    rounding, or pooled = B A in the offsets (c/g = 1). R rounds to f16; it and the rounding pass gradients."""

    def __init__(self, linear, recipe, bits, group, rank):
        super().__init__()
        w = linear.weight.detach()
        self.recipe, self.group, self.shape, self.bits = recipe, group, w.shape, bits
        self.Qn, self.Qp = -2**(bits - 1), 2**(bits - 1) - 1
        self.W0, self.bias = w, linear.bias
        s, b = self.start(w, recipe["start"])
        self.floor = s / 64
        self.s, self.b, self.m = nn.Parameter(s), nn.Parameter(b), nn.Parameter(torch.ones_like(s))
        columns = s.shape[1] if recipe["adapter"] == "pooled" else w.shape[1]
        self.A = nn.Parameter(start_A(recipe["init"], rank, columns, w.device) if recipe["init"] else w.new_zeros(rank, columns))
        self.B = nn.Parameter(w.new_zeros(w.shape[0], rank))

    def start(self, w, how):
        low, high = w.view(w.shape[0], -1, self.group).aminmax(dim=-1)
        if how == "l4q":
            s = torch.maximum((low / self.Qn).abs(), (high / self.Qp).abs())
            return torch.where(s > 0, s, 2.0**-14), torch.zeros_like(s)
        levels, half = 2**self.bits - 1, 2**(self.bits - 1)
        s = (high - low) / levels
        return torch.where(s > 0, s, 2.0**-14), (half * high + (half - 1) * low) / levels

    def trained(self, phase):
        r = self.recipe
        grid = phase == 1 or r["range"] == "adaptive"
        return dict(s=grid, b=grid, m=phase == 2 and r["magnitude"] == "on", A=phase == 2 and r["adapter"] != "none",
                    B=phase == 2 and r["adapter"] != "none")

    def forward(self, x):
        r, (s, b, m) = self.recipe, (self.s, self.b, self.m)
        V = self.W0 + self.B @ self.A if r["adapter"] == "lora" and self.B.requires_grad else self.W0
        if r["range"] == "minmax" and r["adapter"] == "lora":
            with torch.no_grad(): s, b = self.start(V, "minmax")
        v = (V.view(*s.shape, self.group) - b[..., None]) / s[..., None]
        u = Codes.apply(v, self.Qn, self.Qp, r["mask"]) - self.Qn
        O = m * (b + self.Qn * s)
        if r["adapter"] == "pooled": O = O + self.B @ self.A
        S, O = peer_torch.Stored.apply(m * s), peer_torch.Stored.apply(O)
        return F.linear(x, (S[..., None] * u + O[..., None]).view(self.shape), self.bias)


# ---- A run --------------------------------------------------------------------------------------------------------------


def open_model(args):
    """-> (model, the places of its blocks' linears: [(module, name, linear)])."""
    model = peer_torch.open_frozen(args.model).to(args.device)
    return model, [(part, name, child) for layer in model.model.layers for part in (layer.self_attn, layer.mlp)
                   for name, child in part.named_children() if isinstance(child, nn.Linear)]


def perplexity(args, model, ids):
    losses = []
    with torch.no_grad():
        for i in range(args.windows):
            window = torch.tensor(ids[i * args.window:(i + 1) * args.window], device=args.device)[None]
            losses.append(F.cross_entropy(model(window, use_cache=False).logits[0, :-1].float(), window[0, 1:]).item())
    return math.exp(sum(losses) / len(losses))


def learn(args, entry, seed, model, places, rows, ids):
    recipe, begin = parse(entry), time.perf_counter()
    torch.manual_seed(seed)
    linears = [RecipeLinear(linear, recipe, args.bits, args.group_size, args.rank) for _, _, linear in places]
    for (part, name, _), linear in zip(places, linears): setattr(part, name, linear)
    order = torch.randperm(len(rows)).tolist()
    phase1 = args.phase1_steps if recipe["phase1"] else 0
    losses, optimizer = [], None
    for step in range(args.steps if recipe["adapter"] != "none" else 0):
        if step in (0, phase1):  # the optimizer starts afresh at phase 2
            phase = 1 if step < phase1 else 2
            for linear in linears:
                for name, on in linear.trained(phase).items(): getattr(linear, name).requires_grad_(on)
            optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=args.learning_rate,
                                          weight_decay=0.0)
        batch = [rows[order[(step * args.batch_size + i) % len(rows)]] for i in range(args.batch_size)]
        given, mask, labels = (t.to(args.device) for t in peer_torch.pad(batch))
        loss = peer_torch.loss_of(model, ["labels"], given, mask, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for linear in linears: linear.s.copy_(torch.maximum(linear.s, linear.floor))
        losses.append(loss.item())
    return dict(ppl_window=perplexity(args, model, ids), first_loss=losses[0] if losses else None,
                train_loss=statistics.mean(losses) if losses else None, seconds=time.perf_counter() - begin)


def read_text(args):
    cache = args.rows_cache + ".text" if args.rows_cache else None
    if cache and os.path.exists(cache): ids = json.load(open(cache))
    else:  # the file as it is; a BOS only where the tokenizer adds one
        ids = peer_torch.open_tokenizer(args.model)(pathlib.Path(args.text).read_text())["input_ids"]
        if cache: pathlib.Path(cache).write_text(json.dumps(ids))
    if len(ids) < args.window * args.windows: sys.exit(f"{args.text}: {len(ids)} tokens are less than --windows {args.windows}")
    return ids


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True), p.add_argument("--data", required=True), p.add_argument("--text", required=True)
    p.add_argument("--methods", default="dlqat,dlqat:clip-mask=code,l4q:start=minmax,l4q:start=minmax:adapter-init=gaussian,"
                   "l4q,qalora,qalora:adapter-init=gaussian")
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--out", required=True, help="JSON of all runs; continued if it is there")
    p.add_argument("--expect", action="append", default=[], help="table.json of `dlqat compare`; more than once")
    p.add_argument("--steps", type=int, default=120), p.add_argument("--phase1-steps", type=int, default=24)
    p.add_argument("--batch-size", type=int, default=8), p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--learning-rate", type=float, default=2e-4), p.add_argument("--rank", type=int, default=16)
    p.add_argument("--bits", type=int, default=3), p.add_argument("--group-size", type=int, default=64)
    p.add_argument("--window", type=int, default=2048), p.add_argument("--windows", type=int, default=8)
    p.add_argument("--rows-cache", help="file that keeps the tokenized rows, and beside it the text, from run to run")
    args = p.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    args.pool = 10**9  # read_rows: all rows of the file
    rows, ids = peer_torch.read_rows(args), read_text(args)
    entries, seeds = args.methods.split(","), [int(seed) for seed in args.seeds.split(",")]
    for entry in entries: parse(entry)
    settings = {k: v for k, v in vars(args).items() if k not in ("methods", "seeds", "out", "expect", "rows_cache")}
    results, (model, places) = common.Results(args.out, settings), open_model(args)
    add = lambda **run: (results.add(**run), print(json.dumps(run), flush=True))
    if not results.find(name="original"): add(name="original", seed=0, ppl_window=perplexity(args, model, ids))
    for seed in seeds:
        for entry in entries:
            if not results.find(name=entry, seed=seed):
                add(name=entry, seed=seed, **learn(args, entry, seed, model, places, rows, ids))
    ours = {r["entry"]: r["ppl_window"] for path in args.expect for r in json.load(open(path))}
    lines = []
    for entry in ["original", *entries]:
        runs = results.find(name=entry)
        each, losses = [r["ppl_window"] for r in runs], [r["train_loss"] for r in runs if r.get("train_loss")]
        lines.append([entry, len(each), f"{common.median(each):.2f}", f"{min(each):.2f} .. {max(each):.2f}",
                      f"{common.median(losses):.4f}" if losses else "", f"{ours[entry]:.2f}" if entry in ours else "-"])
    print(common.table(["", "seeds", "PyTorch", "spread", "train loss", "dlqat"], lines))


if __name__ == "__main__": main()

#!/usr/bin/env python3
"""The training step of dlqat beside the same step in PyTorch: tokens/s, peak memory, and how much of the machine's peak.

    bench_step.py --dlqat-program build/dlqat --python VENV/bin/python --model MODEL.gguf --data alpaca.json --out step.json

Takes turns: in each of --rounds rounds every contender runs once for --steps steps, of which the first --discard do not
count. A contender is dlqat with some options (--dlqat "NAME=OPTIONS", more than once) or a configuration of peer_torch.py
(--peers). The medians of the rounds count; the spread is the lowest and the highest. Every run is added to --out as soon as
it is there; the same command goes on where it was interrupted. README.md says what exactly is compared.
"""
import argparse, json, os, pathlib, shlex, sys, tempfile
import common

HERE = pathlib.Path(__file__).resolve().parent


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dlqat-program", required=True)
    p.add_argument("--python", default=sys.executable, help="of an environment with torch and transformers")
    p.add_argument("--model", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True, help="JSON of all runs; continued if it is there")
    p.add_argument("--phase", type=int, choices=(1, 2), default=2, help="of the training")
    p.add_argument("--dlqat", action="append", metavar="NAME=OPTIONS",
                   help='default: "dlqat-f32=--dtype f32" and "dlqat-bf16=--dtype bf16"')
    p.add_argument("--peers", default="bf16-padded,f32-padded,bf16-sorted,f32-sorted", help="some of these, or none")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=6)
    p.add_argument("--discard", type=int, default=1)
    p.add_argument("--batch-size", type=int, default=16)
    p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--bits", type=int, default=3)
    p.add_argument("--group-size", type=int, default=64)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--timeout", type=float, default=1800, help="seconds for one run; a contender that needs more is given up")
    p.add_argument("--peak", help="JSON written by bench_peak.py: adds the arithmetic efficiency")
    args = p.parse_args()
    args.dlqat = args.dlqat or ["dlqat-f32=--dtype f32", "dlqat-bf16=--dtype bf16"]
    if not 0 <= args.discard < args.steps: p.error("--discard must leave a step")
    return args


def options(args):
    return ["--model", args.model, "--data", args.data, "--template", "alpaca", "--bits", args.bits, "--group-size",
            args.group_size, "--lora-rank", 16, "--learning-rate", 2e-4, "--batch-size", args.batch_size, "--max-length",
            args.max_length, "--threads", args.threads]


def run_dlqat(args, extra):
    got = common.train(args.dlqat_program, options(args) + shlex.split(extra), args.steps, args.discard, True, args.phase,
                       args.timeout)
    if got["code"] != "timeout": got["peak_rss"] = max(got["peak_rss"], got.pop("peak_rss_whole"))
    return got


def dtype_of(text):
    words = shlex.split(text)
    return words[words.index("--dtype") + 1] if "--dtype" in words else "f32"


def run_peer(args, config, log, folder):
    expect = os.path.join(folder, "expect.jsonl")
    pathlib.Path(expect).write_text("".join(json.dumps(line) + "\n" for line in log))
    r = common.run([args.python, HERE / "peer_torch.py", "--model", args.model, "--data", args.data, "--config", config,
                    "--steps", args.steps, "--discard", args.discard, "--batch-size", args.batch_size, "--max-length",
                    args.max_length, "--phase", args.phase, "--bits", args.bits, "--group-size", args.group_size,
                    "--threads", args.threads, "--rows-cache", args.out + ".rows", "--expect", expect], args.timeout)
    lines = [json.loads(line) for line in r.out.splitlines() if line.startswith("{")]
    steps = [line for line in lines if "step" in line]
    if r.code == "timeout": return dict(code="timeout", steps=steps)
    common.need(r)  # a peer that did other work than dlqat says so and ends the benchmark
    last = lines[-1]
    return dict(code=0, steps=steps, seconds=[s["seconds"] for s in steps[args.discard:]],
                tokens_per_second=last["tokens_per_second"], padded_per_second=last["padded_per_second"],
                peak_rss=max(r.peak_rss, last["peak_rss_bytes"]),
                loaded_rss=last["loaded_rss_bytes"], peak_anon=r.peak_anon, others=r.others, versions=last["versions"])


def measure(args, results):
    ours = dict(text.partition("=")[::2] for text in args.dlqat)
    peers = [name for name in args.peers.split(",") if name and name != "none"]
    with tempfile.TemporaryDirectory() as folder:
        for round_number in range(1, args.rounds + 1):
            for name in [*ours, *peers]:
                if results.find(round=round_number, name=name) or results.find(name=name, code="timeout"): continue
                print(f"round {round_number}: {name}", end=" ", file=sys.stderr, flush=True)
                if name in ours: got = run_dlqat(args, ours[name])
                else:
                    # Of the peer's own type if there is one: rounding to bf16 moves a loss by more than an f32 peer may differ.
                    alike = sorted(ours, key=lambda n: dtype_of(ours[n]) != name.partition("-")[0])
                    log = next(r["steps"] for n in alike for r in results.find(name=n))
                    got = run_peer(args, name, log, folder)
                results.add(round=round_number, name=name, **got)
                print(f"{got['tokens_per_second']:.1f} tokens/s, others {got['others']:.1f}" if got["code"] == 0
                      else f"gave up after {args.timeout:.0f} s, {len(got['steps'])} steps", file=sys.stderr)
    return list(ours), peers


def efficiency(args, results, name, pairs):
    """Products needed by the steps that count, over time and the fastest product: (share of f32's, of bf16's), or Nones."""
    shape, _ = common.info(args.dlqat_program, options(args))
    best = results.data.get("peak", {}).get("best", {})
    shares = []
    for r in results.find(name=name, code=0):
        need = sum(common.products(shape, s["step_computed"], s["step_labels"], pairs.get(s["step"], 0),
                                    phase=args.phase)["total"] for s in r["steps"][args.discard:])
        shares.append(need / sum(r["seconds"]))
    rate = common.median(shares)
    return rate, *(rate / best[kind]["best"] if kind in best else None for kind in ("f32", "bf16"))


def summarize(args, results, ours, peers):
    rates, peaks, rows = {}, {}, []
    for name in [*ours, *peers]:
        good = results.find(name=name, code=0)
        if not good:
            rows.append([name, "gave up"] + [""] * 6)
            continue
        each = [r["tokens_per_second"] for r in good]
        rates[name], peaks[name] = common.median(each), max(r["peak_rss"] for r in good)
        rows.append([name, len(each), f"{rates[name]:.1f}", f"{min(each):.1f} .. {max(each):.1f}",
                     common.megabytes(peaks[name]), f"{good[0]['steps'][0]['loss']:.5f}",
                     f"{common.median([s for r in good for s in r['seconds']]):.2f}", f"{max(r['others'] for r in good):.1f}"])
    print(common.describe(results.data["machine"]))
    print(common.table(["", "rounds", "tokens/s", "spread", "peak MB", "first loss", "s/step", "others"], rows))
    out = dict(tokens_per_second=rates, peak_rss=peaks)
    best_peer = max((n for n in peers if n in rates), key=lambda n: rates[n], default=None)
    smallest = min((peaks[n] for n in peers if n in peaks), default=None)
    for name in (n for n in ours if n in rates):
        out[name] = {n: rates[name] / rates[n] for n in peers if n in rates}
        print(f"{name}: " + ", ".join(f"{ratio:.2f} x {n}" for n, ratio in out[name].items()) +
              (f"; 1/{smallest / peaks[name]:.1f} of the least peer memory" if smallest else ""))
    if best_peer: print(f"the fastest peer: {best_peer}")
    # Rows and order of the padded peers are dlqat's own, so their lengths are too.
    same = next((r for n in peers if "sorted" not in n for r in results.find(name=n, code=0)), None)
    out["efficiency"] = {}
    for name in (n for n in ours if n in rates):
        # A shared prefix has fewer pairs than the peer's rows.
        whole = "--share-prefixes off" in dict(text.partition("=")[::2] for text in args.dlqat)[name]
        pairs = {s["step"]: s["pairs"] for s in same["steps"]} if same and whole else {}
        rate, f32, bf16 = efficiency(args, results, name, pairs)
        out["efficiency"][name] = dict(products_per_second=rate, of_f32_peak=f32, of_bf16_peak=bf16,
                                       attention_counted=bool(pairs))
        shares = "".join(f", {100 * x:.1f} % of the {kind} peak" for kind, x in (("f32", f32), ("bf16", bf16)) if x)
        print(f"{name}: {rate / 1e9:.1f} GFLOP/s of products needed{shares}{'' if pairs else '; attention not counted'}")
    for name in ours:
        profiles = [r["profile"] for r in results.find(name=name, code=0) if r["profile"]]
        if profiles: show_profile(name, profiles[-1])
    results.data["summary"] = out
    results.save()


def show_profile(name, profile):
    """summary.json's "profile", as `dlqat train --profile` leaves it there: the operations of all steps, the first included."""
    whole = sum(p["seconds"] for p in profile) or float("nan")
    print(common.table([f"{name}, by operation", "s", "of the time", "GFLOP", "GFLOP/s"], [[
        p["operation"], f"{p['seconds']:.3f}", f"{100 * p['seconds'] / whole:.1f} %", f"{p['gflop']:.1f}",
        f"{p['gflop'] / p['seconds']:.0f}" if p["gflop"] and p["seconds"] else ""]
        for p in sorted(profile, key=lambda p: -p["seconds"])]))


def main():
    args = arguments()
    settings = {k: v for k, v in vars(args).items() if k not in ("rounds", "out", "peak", "timeout", "python", "dlqat_program")}
    results = common.Results(args.out, dict(settings, version=common.program_version(args.dlqat_program)))
    if args.peak: results.data["peak"] = json.loads(pathlib.Path(args.peak).read_text())["summary"]
    summarize(args, results, *measure(args, results))


if __name__ == "__main__": main()

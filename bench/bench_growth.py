#!/usr/bin/env python3
"""How speed, memory and starting time of training grow with the model, the tokens of a step, threads, and row length.

    bench_growth.py --dlqat-program build/dlqat --make-model build/bench/make_model --models DIR --out growth.json
                    [--only sizes,tokens,threads,lengths] [--sizes 15M,135M,360M,1B,3B,7B] [--options "--dtype bf16"]

Models of random weights and rows of an exact number of tokens are made in --models where they are not there yet (3B, 7B
and 13B take 6, 13 and 26 GB). Each run does --steps steps, of which the first --discard do not count, and is then ended:
no result is written, so what is measured is training alone. Peaks are compared with the total that `dlqat info` predicts
for the same options. Every token but a row's first is a label here: the head's share is the largest possible. Goes on where
it was interrupted.
"""
import argparse, json, os, pathlib, shlex, subprocess, sys
import common

KINDS = ("sizes", "tokens", "threads", "lengths")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dlqat-program", required=True)
    p.add_argument("--make-model", required=True)
    p.add_argument("--models", required=True, help="directory for what is made")
    p.add_argument("--out", required=True)
    p.add_argument("--only", default=",".join(KINDS))
    p.add_argument("--sizes", default="15M,135M,360M,1B")
    p.add_argument("--base", default="135M", help="the model of the other experiments")
    p.add_argument("--batch-size", type=int, default=16, help="of the experiments in which it does not change")
    p.add_argument("--length", type=int, default=128, help="likewise")
    p.add_argument("--batches", default="1,2,4,8,16,32,64", help="of --only tokens")
    p.add_argument("--lengths", default="128,256,512,1024,2048,4096")
    p.add_argument("--length-tokens", type=int, default=4096, help="tokens of a step of --only lengths")
    p.add_argument("--thread-counts", default="1,2")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--bits", type=int, default=3)
    p.add_argument("--group-size", type=int, default=64)
    p.add_argument("--options", default="", help="more options for dlqat train and info")
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--discard", type=int, default=1)
    p.add_argument("--peak", help="JSON written by bench_peak.py: adds the arithmetic efficiency")
    args = p.parse_args()
    if unknown := set(args.only.split(",")) - set(KINDS): p.error(f"--only: {', '.join(unknown)}?")
    return args


def plan(args):
    """{experiment: [(shape, batch, length, threads)]}"""
    numbers = lambda text: [int(n) for n in text.split(",")]
    batch, length, threads = args.batch_size, args.length, args.threads
    everything = dict(
        sizes=[(shape, batch, length, threads) for shape in args.sizes.split(",")],
        tokens=[(args.base, n, length, threads) for n in numbers(args.batches)],
        threads=[(args.base, batch, length, n) for n in numbers(args.thread_counts)],
        lengths=[(args.base, args.length_tokens // n, n, threads) for n in numbers(args.lengths)])
    return {kind: everything[kind] for kind in args.only.split(",")}


def make(args, shape, batch, length):
    """-> (model, rows), made if they are not there. More rows than a step has, so that steps differ."""
    folder = pathlib.Path(args.models)
    folder.mkdir(parents=True, exist_ok=True)
    model, count = folder / shape, 4 * batch
    rows = folder / f"{shape}-{length}x{count}.jsonl"
    command = [args.make_model, "--shape", shape, "--out", model]
    if not rows.exists(): command += ["--rows", rows, "--tokens", length, "--count", count]
    if not rows.exists() or not (model / "config.json").exists():
        subprocess.run([str(c) for c in command], check=True)
    return model, rows


def measure(args, results, case):
    shape, batch, length, threads = case
    model, rows = make(args, shape, batch, length)
    options = ["--model", model, "--data", rows, "--bits", args.bits, "--group-size", args.group_size, "--lora-rank", 16,
               "--batch-size", batch, "--max-length", length, "--threads", threads, *shlex.split(args.options)]
    # info's plan depends on the memory that is available now, as the run's does.
    sizes, memory = common.info(args.dlqat_program, options)
    got = common.train(args.dlqat_program, options, args.steps, args.discard, False)
    seen = length - 1  # a row's last token, which predicts nothing, is not worked on
    need = common.products(sizes, batch * seen, batch * seen, batch * seen * (seen + 1) // 2)
    if any(s["step_tokens"] != batch * length for s in got["steps"]): sys.exit(f"{rows}: rows of another length than {length}")
    return dict(got, planned=memory, products=need)


def summarize(args, results, experiments):
    best = json.loads(pathlib.Path(args.peak).read_text())["summary"]["best"] if args.peak else {}
    peak = max((r["best"] for r in best.values()), default=None)
    print(common.describe(results.data["machine"]))
    results.data["summary"] = {}
    for kind, cases in experiments.items():
        rows = []
        for case in cases:
            runs = results.find(case=list(case))
            if not runs: continue
            rate = common.median([r["tokens_per_second"] for r in runs])
            seconds = common.median([s for r in runs for s in r["seconds"]])
            products = runs[0]["products"]["total"] / seconds
            rss, total = max(r["peak_rss"] for r in runs), runs[0]["planned"]["total"]
            starts = [r["start"] for r in runs if r["start"] is not None]
            rows.append(dict(shape=case[0], rows=case[1], length=case[2], threads=case[3], tokens_per_second=rate,
                             seconds=seconds, products_per_second=products, of_peak=products / peak if peak else None,
                             peak_rss=rss, peak_anon=max(r["peak_anon"] for r in runs), planned=total,
                             plan_error=total / rss - 1, start=common.median(starts) if starts else None,
                             others=max(r["others"] for r in runs)))
        results.data["summary"][kind] = rows
        print(f"\n{kind}")
        header = ["model", "rows x length", "threads", "tokens/s", "s/step", "GFLOP/s", "of peak", "peak MB", "anon MB",
                  "planned MB", "plan off by", "start s", "others"]
        print(common.table(header, [[
            r["shape"], f"{r['rows']} x {r['length']}", r["threads"], f"{r['tokens_per_second']:.1f}", f"{r['seconds']:.2f}",
            f"{r['products_per_second'] / 1e9:.1f}", f"{100 * r['of_peak']:.1f} %" if r["of_peak"] else "-",
            common.megabytes(r["peak_rss"]), common.megabytes(r["peak_anon"]), common.megabytes(r["planned"]),
            f"{100 * r['plan_error']:+.1f} %", f"{r['start']:.2f}" if r["start"] is not None else "-", f"{r['others']:.1f}"]
            for r in rows]))
    results.save()


def main():
    args = arguments()
    settings = {k: getattr(args, k) for k in ("bits", "group_size", "options", "steps", "discard")}
    results = common.Results(args.out, dict(settings, version=common.program_version(args.dlqat_program)))
    experiments = plan(args)
    for round_number in range(1, args.rounds + 1):
        # A case may stand in several experiments; it is measured once.
        for case in dict.fromkeys(case for cases in experiments.values() for case in cases):
            if results.find(round=round_number, case=list(case)): continue
            got = measure(args, results, case)
            results.add(round=round_number, case=list(case), **got)
            print(f"{case[0]}, {case[1]} x {case[2]}, {case[3]} threads: {got['tokens_per_second']:.1f} tokens/s, others "
                  f"{got['others']:.1f}", file=sys.stderr)
    summarize(args, results, experiments)


if __name__ == "__main__": main()

#!/usr/bin/env python3
"""Generation by dlqat beside llama.cpp: prompt processing and decoding at batch 1, in tokens/s.

    bench_decode.py --dlqat-program build/dlqat --python VENV/bin/python --model MODEL.gguf --text FILE --out decode.json
                    [--dlqat "NAME=MODEL|OPTIONS"] ..

llama.cpp reads --model; each dlqat contender reads its own (by default --model, with activations of f32 and of 8 bits): a
GGUF file, or the run it was exported from. The prompt is the first --prompt-tokens tokens of --text, the same ids for both.
Both decode greedily; dlqat stops where the model ends its text, which is reported. Takes turns, medians of --rounds. Goes on
where it was interrupted.
"""
import argparse, json, os, pathlib, re, shlex, subprocess, sys
import common

HERE = pathlib.Path(__file__).resolve().parent
SPEED = re.compile(r"prompt: (\d+) tokens, ([\d.]+) tokens/s; text: (\d+) tokens, ([\d.]+) tokens/s; (.*)")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dlqat-program", required=True)
    p.add_argument("--python", default=sys.executable, help="of an environment with llama-cpp-python")
    p.add_argument("--model", required=True, help="GGUF")
    p.add_argument("--text", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--dlqat", action="append", metavar="NAME=MODEL|OPTIONS", help="more than once; an empty MODEL is --model")
    p.add_argument("--prompt-tokens", type=int, default=512)
    p.add_argument("--new", type=int, default=128)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = p.parse_args()
    args.dlqat = args.dlqat or ["dlqat=|", "dlqat-int8=|--activations int8"]
    return args


def tokenize(args, text, *more):
    done = subprocess.run([args.dlqat_program, "tokenize", "--model", args.model, *more], input=text, capture_output=True,
                          text=True)
    return done.stdout if done.returncode == 0 else sys.exit(done.stderr)


def prompt(args):
    """-> (text, ids as dlqat makes them of it, with what it puts before)"""
    ids = tokenize(args, pathlib.Path(args.text).read_text()[:20 * args.prompt_tokens], "--no-special").split()
    text = tokenize(args, " ".join(ids[:args.prompt_tokens]) + "\n", "--decode").removesuffix("\n")
    return text, tokenize(args, text).split()


def run_dlqat(args, model, options, text):
    r = common.need(common.run([args.dlqat_program, "generate", "--model", model or args.model, "--raw", "--prompt", text,
                                "--max-new-tokens", args.new, "--threads", args.threads, *shlex.split(options)]))
    count, prompt_rate, new, decode_rate, why = SPEED.search(r.err).groups()
    return dict(prompt=int(count), prompt_rate=float(prompt_rate), new=int(new), decode_rate=float(decode_rate), end=why,
                peak_rss=r.peak_rss, others=r.others)


def run_llama(args, ids):
    r = common.need(common.run([args.python, HERE / "peer_llama.py", args.model, "--ids", ",".join(ids), "--new", args.new,
                                "--threads", args.threads]))
    return dict(json.loads(r.out.splitlines()[-1]), peak_rss=r.peak_rss, others=r.others)


def main():
    args = arguments()
    settings = {k: v for k, v in vars(args).items() if k not in ("rounds", "out", "python", "dlqat_program")}
    results = common.Results(args.out, dict(settings, version=common.program_version(args.dlqat_program)))
    text, ids = prompt(args)
    ours = {name: rest.partition("|")[::2] for name, _, rest in (contender.partition("=") for contender in args.dlqat)}
    for round_number in range(1, args.rounds + 1):
        for name in [*ours, "llama.cpp"]:
            if results.find(round=round_number, name=name): continue
            got = run_llama(args, ids) if name == "llama.cpp" else run_dlqat(args, *ours[name], text)
            results.add(round=round_number, name=name, **got)
            print(f"round {round_number}: {name}: prompt {got['prompt_rate']:.1f}, text {got['decode_rate']:.1f} tokens/s, "
                  f"others {got['others']:.1f}", file=sys.stderr)
    summarize(args, results, [*ours, "llama.cpp"])


def summarize(args, results, names):
    summary = {}
    for name in names:
        column = lambda key: [r[key] for r in results.find(name=name)]
        keys = ("prompt_rate", "decode_rate", "prompt", "new", "peak_rss", "others")
        summary[name] = {k: common.median(column(k)) for k in keys}
        summary[name]["spread"] = {k: [min(column(k)), max(column(k))] for k in ("prompt_rate", "decode_rate")}
    spread = lambda s, k: "{:.1f} .. {:.1f}".format(*s["spread"][k])
    peer = summary["llama.cpp"]
    print(common.describe(results.data["machine"]))
    header = ["", "prompt", "tokens/s", "spread", "x peer", "text", "tokens/s", "spread", "x peer", "peak MB", "others"]
    print(common.table(header, [[
        name, f"{s['prompt']:.0f}", f"{s['prompt_rate']:.1f}", spread(s, "prompt_rate"),
        f"{s['prompt_rate'] / peer['prompt_rate']:.2f}", f"{s['new']:.0f}", f"{s['decode_rate']:.1f}", spread(s, "decode_rate"),
        f"{s['decode_rate'] / peer['decode_rate']:.2f}", common.megabytes(s["peak_rss"]), f"{s['others']:.1f}"]
        for name, s in summary.items()]))
    for name, s in summary.items():
        if s["prompt"] != peer["prompt"]:
            print(f"{name}: its prompt has {s['prompt']:.0f} tokens, llama.cpp's {peer['prompt']:.0f}")
        if s["new"] < args.new / 2: print(f"{name}: the text ended after {s['new']:.0f} tokens: choose another --text")
    results.data["summary"] = summary
    results.save()


if __name__ == "__main__": main()

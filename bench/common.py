"""What the measurements share: the machine, running a program and watching its memory, results that survive an interruption,
tables, and the count of the products that a training step needs. Python's standard library alone."""
import hashlib, json, os, pathlib, platform, re, shutil, statistics, subprocess, sys, tempfile, time

# ---- The machine --------------------------------------------------------------------------------------------------------

FLAGS = "avx2 fma f16c avx_vnni avx512f avx512bw avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_bf16 amx_int8".split()


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    field = lambda name: (re.search(rf"^{name}\s*: (.*)$", info, re.M) or [None, "unknown"])[1]
    flags = set(field("flags").split())
    memory = re.search(r"MemTotal:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    return dict(cpu=field("model name"), family=field("cpu family"), model=field("model"),
                cores=len(os.sched_getaffinity(0)), flags=[f for f in FLAGS if f in flags],
                memory_bytes=int(memory[1]) * 1024, kernel=platform.release(), python=platform.python_version(),
                environment={k: v for k, v in os.environ.items() if k.startswith(("OMP_", "KMP_", "GOMP_", "DNNL_"))})


def program_version(program):
    """What it calls itself, and a hash of it: measurements of different builds are not to be mixed."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
    return f"{said} (sha256 {hashlib.sha256(pathlib.Path(program).read_bytes()).hexdigest()[:12]})"


# ---- Running ------------------------------------------------------------------------------------------------------------


class Run:
    """One process: command, code, seconds, began (wall clock), out, err, peak_rss and peak_anon (bytes), and others: how many
    cores were busy meanwhile with something else."""


def memory_of(pid):
    """RssAnon and VmHWM in bytes; zeros when the process is gone."""
    try: status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError: return 0, 0
    found = dict(re.findall(r"^(RssAnon|VmHWM):\s+(\d+) kB", status, re.M))
    return int(found.get("RssAnon", 0)) * 1024, int(found.get("VmHWM", 0)) * 1024


def busy_seconds():
    """Of all cores together, since the machine started; what the host took from it (steal) included."""
    user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def run(command, timeout=3600.0, watch=None, interval=0.05):
    """Runs to its end, or until watch(run) is true, which ends it. watch is called at every sample of the memory. code is
    "timeout" or "stopped" where we ended it. The peaks are those of the samples; the system's own, which misses nothing
    but begins with the memory of this script, is used where it is larger than that."""
    r = Run()
    r.command, r.peak_anon, r.peak_rss, r.code = [str(c) for c in command], 0, 0, None
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        own = memory_of(os.getpid())[1]
        r.began, start, busy = time.time(), time.monotonic(), busy_seconds()
        process = subprocess.Popen(r.command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        try:
            while True:
                anon, rss = memory_of(process.pid)
                r.peak_anon, r.peak_rss = max(r.peak_anon, anon), max(r.peak_rss, rss)
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid: break
                if r.code is None and watch and watch(r): r.code = "stopped"
                if r.code is None and time.monotonic() - start > timeout: r.code = "timeout"
                if r.code is not None: process.kill()
                time.sleep(interval)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        r.seconds = time.monotonic() - start
        r.others = max(0.0, busy_seconds() - busy - usage.ru_utime - usage.ru_stime) / r.seconds
        if r.code is None: r.code = process.returncode
        if usage.ru_maxrss * 1024 > own: r.peak_rss = max(r.peak_rss, usage.ru_maxrss * 1024)
        for stream in (out, err): stream.seek(0)
        r.out, r.err = out.read(), err.read()
    return r


def need(r):
    """r, unless it failed: then the script ends with what the program said."""
    if r.code in (0, "stopped"): return r
    sys.exit(f"{' '.join(r.command)}\nended with {r.code}:\n{r.err[-2000:]}")


# ---- dlqat --------------------------------------------------------------------------------------------------------------


def read_log(path):
    """The whole lines of a log.jsonl that are steps."""
    if not os.path.exists(path): return []
    lines = [json.loads(line) for line in pathlib.Path(path).read_text().split("\n")[:-1]]
    return [line for line in lines if "loss" in line]


def train(dlqat, arguments, steps, discard, finish, phase=2, timeout=36000.0):
    """Some steps of `dlqat train`. finish: to its own end, with checkpoint and result; else it is ended after the last step.

    -> dict: steps (of log.jsonl), tokens_per_second after the discarded steps, seconds (of each of these), start (from the
    command to the first step's beginning), peak_rss, peak_anon (until the last step), peak_rss_whole, others, profile
    (summary.json's)."""
    folder = tempfile.mkdtemp(prefix="dlqat-bench-")
    log = os.path.join(folder, "run", "log.jsonl")
    seen = dict(count=0, start=None, peak_anon=0)

    def watch(r):
        if seen["count"] >= steps: return not finish
        try: size, when = os.path.getsize(log), os.stat(log).st_mtime
        except OSError: return False
        done = read_log(log) if size else []
        # The first line is written when the first step ends, and says how long it took.
        if len(done) == 1 and seen["count"] == 0: seen["start"] = when - done[0]["elapsed"] - r.began
        seen["count"] = len(done)
        seen["peak_anon"] = r.peak_anon
        return False

    try:
        # One step more than is wanted keeps it from writing its result before it is ended.
        most = steps + (not finish)
        r = run([dlqat, "train", "--out", os.path.dirname(log), "--max-steps", most, "--phase1-steps",
                 most if phase == 1 else 0, "--no-shuffle", "--save-steps", 0, *arguments], timeout, watch)
        lines = read_log(log)
        if r.code == "timeout": return dict(code="timeout", steps=lines)
        need(r)
        lines = lines[:steps]
        summary = pathlib.Path(folder, "run", "summary.json")
        profile = json.loads(summary.read_text()).get("profile") if summary.exists() else None
    finally: shutil.rmtree(folder, ignore_errors=True)
    before = lines[discard - 1] if discard else dict(tokens=0, elapsed=0)
    ends = [before["elapsed"]] + [line["elapsed"] for line in lines[discard:]]
    return dict(code=0, steps=lines, tokens_per_second=(lines[-1]["tokens"] - before["tokens"]) / (ends[-1] - ends[0]),
                seconds=[b - a for a, b in zip(ends, ends[1:])], start=seen["start"],
                peak_rss=lines[-1]["peak_rss_bytes"], peak_anon=seen["peak_anon"], peak_rss_whole=r.peak_rss, others=r.others,
                profile=profile)


def info(dlqat, arguments):
    """The sizes of a model and the memory plan (bytes) that `dlqat info` prints."""
    text = need(run([dlqat, "info", *arguments])).out
    sizes = re.search(r"sizes +(\d+) layers, hidden (\d+), intermediate (\d+), vocabulary (\d+)", text)
    heads = re.search(r"attention +(\d+) heads, (\d+) key/value heads, (\d+) wide", text)
    plan = {name.strip(): int(float(mib) * 1048576) for name, mib in
            re.findall(r"^(\S.*?) {2,}([\d.]+)(?:  .*)?$", text[text.find("A run of"):], re.M)}
    names = "layers hidden intermediate vocabulary heads kv_heads head_width".split()
    return dict(zip(names, map(int, sizes.groups() + heads.groups()))), plan


# ---- Products -----------------------------------------------------------------------------------------------------------


def products(m, tokens, labels, pairs, rank=16, phase=2):
    """Floating-point operations (two for each multiply-add) of the matrix products that the mathematics of one optimizer step
    needs; README.md says why these. pairs: of a query and a key that it sees, over all rows: n (n + 1) / 2 of each row."""
    queries, keys = m["heads"] * m["head_width"], m["kv_heads"] * m["head_width"]
    shapes = [(queries, m["hidden"]), (keys, m["hidden"]), (keys, m["hidden"]), (m["hidden"], queries),
              (m["intermediate"], m["hidden"]), (m["intermediate"], m["hidden"]), (m["hidden"], m["intermediate"])]
    weights = sum(o * i for o, i in shapes)
    first_inputs = sum(o * i for o, i in shapes[:3])
    need = dict(linears=tokens * (6 * m["layers"] * weights - 2 * first_inputs),
                attention=12 * m["layers"] * queries * pairs,
                head=4 * m["vocabulary"] * m["hidden"] * labels,
                adapters=6 * rank * m["layers"] * weights if phase == 2 else 0)
    return dict(need, total=sum(need.values()))


# ---- Results ------------------------------------------------------------------------------------------------------------


class Results:
    """A JSON file to which every measurement is added as soon as it is made, so that an interrupted benchmark goes on."""

    def __init__(self, path, settings):
        self.path, settings = pathlib.Path(path), json.loads(json.dumps(settings))
        self.data = dict(settings=settings, machine=machine(), runs=[])
        if not self.path.exists(): return
        old = json.loads(self.path.read_text())
        changed = [k for k in {**old["settings"], **settings} if old["settings"].get(k) != settings.get(k)]
        if changed: sys.exit(f"{path} was measured with another {', '.join(changed)}: give the same, or another --out")
        self.data = old

    def find(self, **key): return [r for r in self.data["runs"] if all(r.get(k) == v for k, v in key.items())]

    def add(self, **record):
        self.data["runs"].append(record)
        self.save()

    def save(self):
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_text(json.dumps(self.data, indent=1) + "\n")
        temporary.replace(self.path)


def median(values): return statistics.median(values) if values else float("nan")


def table(header, rows):
    """Rows of text, the first column to the left."""
    rows = [header] + [[str(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    aligned = lambda i, c: c.rjust(widths[i]) if i else c.ljust(widths[i])
    lines = ["  ".join(aligned(i, c) for i, c in enumerate(row)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0])] + lines[1:])


def megabytes(n): return f"{n / 1e6:,.0f}" if n else "-"


def describe(m):
    return (f"{m['cpu']} (family {m['family']}), {m['cores']} cores, {m['memory_bytes'] / 1e9:.1f} GB; "
            f"{' '.join(m['flags'])}")

#!/usr/bin/env python3
"""Compares `dlqat tokenize` with the programs that own the formats, on about 1 MB of mixed text.

    check_tokenizers.py --dlqat build/dlqat [--text FILE ..] [--seed N] MODEL ..

MODEL, and what its ids must equal:
    directory with tokenizer.json    Hugging Face `tokenizers`: ids with and without special tokens, decoded text
    tokenizer.json                   the same
    *.model                          sentencepiece, on the text without special tokens' names; and its conversion to
                                     `tokenizers`, in the legacy form and in the other one ("legacy": false)
    *.gguf                           llama-cpp-python; and for the pre-tokenizer "smollm" `tokenizers`, made from the file with gguf-py.
                                     The two differ from one another where SmolLM2's vocabulary lacks a byte (planes 4 to
                                     11, some control characters): both leave it out, but llama.cpp does not merge across it

The text: the beginnings of the files given with --text, and what is generated here: many scripts, combining marks, emoji, odd white
space, NULs, contractions, numbers, long words, names of special tokens, unassigned code points.
Needs: tokenizers, and of transformers, sentencepiece, llama-cpp-python what the models ask for.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

SPECIALS = ["<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>",
            "<|start_header_id|>", "<tool_call>", "<|reserved_special_token_5|>", "<|file_sep|>", "<0x0A>", "<0x41>", "\u2581",
            "\u2581\u2581", "<|im_", "|>", "<repo_name>"]
SCRIPTS = [[(0x4e00, 0x9fff), (0x3040, 0x30ff), (0xac00, 0xd7a3), (0x3000, 0x303f), (0xff00, 0xffef), (0x20000, 0x200ff)],
           [(0x600, 0x6ff), (0x20, 0x21)], [(0x590, 0x5f4)], [(0x900, 0x97f), (0x20, 0x21)], [(0xe00, 0xe7f)],
           [(0x400, 0x4ff), (0x20, 0x20)], [(0x370, 0x3ff)], [(0x1200, 0x137f)], [(0x10a0, 0x10ff)], [(0x1e00, 0x1eff)],
           [(0xc0, 0x24f)], [(0xb80, 0xbff)], [(0x1100, 0x11ff)], [(0x1d400, 0x1d7ff)], [(0x2190, 0x27ff)],
           [(0x2000, 0x206f), (0x41, 0x5a)],
           [(0x1f300, 0x1f6ff), (0x200d, 0x200d), (0xfe0f, 0xfe0f), (0x1f3fb, 0x1f3ff), (0x20, 0x22)]]
SPACES = [0x20] * 4 + [9, 10, 10, 13, 0xb, 0xc, 0x85, 0xa0, 0x1680, 0x180e, 0x2000, 0x2003, 0x200a, 0x200b, 0x2028, 0x2029,
                       0x202f, 0x205f, 0x3000, 0xfeff, 0, 1, 0x1c, 0x1f, 0x7f]
CONTRACTIONS = ["'s", "'S", "'re", "'RE", "'Ll", "'ve", "'d", "'m", "'T", "'\u017f", "'K", "don't", "I'M", "x", "  ", " "]


def generated(rng):
    def points(count, ranges):
        return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(count))

    yield from (points(4000, ranges) for ranges in SCRIPTS)
    yield "".join(rng.choice("aeiouncAEIOUSTst") + points(rng.randint(0, 4), [(0x300, 0x36f)]) for _ in range(6000))
    yield "".join(chr(rng.choice(SPACES)) if rng.random() < .6 else rng.choice(["a", "Word", "12", "!", "\u00e9", "\u4e2d"])
                  for _ in range(20000))
    yield "".join(rng.choice(CONTRACTIONS) for _ in range(5000))
    yield "".join(rng.choice(SPECIALS) + rng.choice(["", " ", "  ", "\n", "a", " user\n", "Hello world", "\u2581", "\u00e9", "   "])
                  for _ in range(8000))
    yield "".join(str(rng.randint(0, 10 ** rng.randint(1, 18))) + rng.choice([" ", ",", ".", "", "\n"]) for _ in range(4000))
    yield ("a" * 20000 + " " + "ab" * 5000 + "-" * 5000 + "=" * 3000 + " " * 5000 + "x" + "\n" * 3000 + "\t" * 2000 +
           " \n" * 500 + "!?" * 2000 + "e\u0301" * 2000)
    yield "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(20000))
    every = [chr(c) for c in range(0x80, 0x110000, 23) if not 0xd800 <= c < 0xe000]
    yield " ".join(c + "a" + c for c in every[:30000])
    top = [0x2fff, 0x1ffff, 0x10ffff]
    yield "".join(c for c in (chr(rng.randint(0, rng.choice(top))) for _ in range(20000)) if not "\ud800" <= c <= "\udfff")


def mixed_text(files, seed):
    parts = []
    for name in files:
        with open(name, encoding="utf-8", errors="replace", newline="") as stream:
            parts.append(stream.read(150000))
    return "\n".join(parts + list(generated(random.Random(seed))))


class Checker:
    def __init__(self, program):
        self.program, self.failures = program, 0

    def run(self, model, data, *options):
        done = subprocess.run([self.program, "tokenize", "--model", model, *options], input=data, capture_output=True, check=False)
        if done.returncode:
            sys.exit(f"{model}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def ids(self, model, text, *options):
        return [int(word) for word in self.run(model, text.encode(), *options).split()]

    def same(self, what, ours, theirs):
        if ours == theirs:
            print(f"  same  {what}: {len(ours)}")
            return
        self.failures += 1
        at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
        print(f"  DIFFER {what}: {len(ours)} and {len(theirs)}, at {at}: {ours[max(0, at - 4):at + 8]!r} and "
              f"{theirs[max(0, at - 4):at + 8]!r}")

    def decoded(self, model, ids, theirs):
        data = " ".join(map(str, ids)).encode()
        # The program ends its output with a newline of its own.
        ours = self.run(model, data, "--decode").decode(errors="replace")
        self.same("decoded text", ours if ours == theirs else ours.removesuffix("\n"), theirs)

    def check_json(self, model, text):
        from tokenizers import Tokenizer
        path = os.path.join(model, "tokenizer.json") if os.path.isdir(model) else model
        theirs = Tokenizer.from_file(path)
        plain = theirs.encode(text, add_special_tokens=False).ids
        self.same("ids", self.ids(model, text, "--no-special"), plain)
        if not os.path.exists(os.path.join(os.path.dirname(path), "tokenizer_config.json")):
            self.same("ids with special tokens", self.ids(model, text), theirs.encode(text).ids)
        else:
            from transformers import AutoTokenizer
            whole = AutoTokenizer.from_pretrained(os.path.dirname(path))
            self.same("ids with special tokens (transformers)", self.ids(model, text), whole(text).input_ids)
        self.decoded(model, plain, theirs.decode(plain, skip_special_tokens=False))

    def check_model(self, model, text):
        import sentencepiece
        from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
        theirs = sentencepiece.SentencePieceProcessor(model_file=model)
        plain = text
        for i in range(theirs.get_piece_size()):
            if theirs.is_control(i) or theirs.is_unknown(i):
                plain = plain.replace(theirs.id_to_piece(i), "")
        ids = theirs.encode(plain)
        self.same("ids (sentencepiece)", self.ids(model, plain, "--no-special"), ids)
        self.decoded(model, ids, theirs.decode(ids))
        from transformers.convert_slow_tokenizer import generate_merges
        vocabulary = {theirs.id_to_piece(i): i for i in range(theirs.get_piece_size())}
        merges = generate_merges(vocabulary, {piece: theirs.get_score(i) for piece, i in vocabulary.items()})
        converted = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        converted.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        converted.add_special_tokens([AddedToken(p, normalized=False, special=True) for p in vocabulary
                                      if theirs.is_control(vocabulary[p]) or theirs.is_unknown(vocabulary[p])])
        if theirs.encode("a  b") == theirs.encode("a b"):  # a model that collapses spaces has no such counterpart
            return
        self.same("ids (legacy conversion)", self.ids(model, text, "--no-special"),
                  converted.encode(text, add_special_tokens=False).ids)
        converted.normalizer = None
        converted.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", "first", split=False)
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(model, os.path.join(directory, "tokenizer.model"))
            with open(os.path.join(directory, "tokenizer_config.json"), "w", encoding="utf-8") as stream:
                json.dump({"legacy": False}, stream)
            self.same("ids (conversion that is not legacy)", self.ids(directory, text, "--no-special"),
                      converted.encode(text, add_special_tokens=False).ids)

    def check_gguf(self, model, text):
        from gguf import GGUFReader
        from llama_cpp import Llama
        from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
        theirs = Llama(model, vocab_only=True, verbose=False)
        keys = {name.removeprefix("tokenizer.ggml."): field for name, field in GGUFReader(model).fields.items()}
        smollm = "pre" in keys and keys["pre"].contents() == "smollm"
        plain = text
        if smollm:
            plain = "".join(c for c in text if not ("\U00040000" <= c < "\U000c0000" or c in "\4\6\x13\x14\x16\x1d"))
        self.same("ids with special tokens (llama.cpp)", self.ids(model, plain),
                  theirs.tokenize(plain.encode(), add_bos=True, special=True))
        if not smollm:
            return
        tokens, types = keys["tokens"].contents(), keys["token_type"].contents()
        made = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)},
                                    merges=[tuple(m.split(" ")) for m in keys["merges"].contents()]))
        made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                      pre_tokenizers.ByteLevel(add_prefix_space=False)])
        made.add_special_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, types) if kind == 3])
        self.same("ids (tokenizers)", self.ids(model, text, "--no-special"), made.encode(text).ids)

    def check(self, model, text):
        print(model)
        if model.endswith(".gguf"):
            self.check_gguf(model, text)
        elif model.endswith(".model"):
            self.check_model(model, text)
        else:
            self.check_json(model, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dlqat", required=True, metavar="PATH", help="the program")
    parser.add_argument("--text", action="append", default=[], metavar="FILE", help="a text file to begin the mixed text with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    args = parser.parse_args()
    text = mixed_text(args.text, args.seed)
    print(json.dumps({"characters": len(text), "bytes": len(text.encode())}))
    checker = Checker(args.dlqat)
    for model in args.models:
        checker.check(model, text)
    sys.exit(1 if checker.failures else 0)


if __name__ == "__main__":
    main()

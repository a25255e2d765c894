#!/usr/bin/env python3
"""Prompt processing and greedy decoding by llama.cpp (llama-cpp-python), as bare as it goes: no sampler chain, no text.

    peer_llama.py MODEL.gguf --ids 1,2,3 --new 128 --threads 2

Prints one JSON object. Needs llama-cpp-python and numpy.
"""
import argparse, json, os, time
import llama_cpp, numpy as np


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--ids", required=True)
    p.add_argument("--new", type=int, default=128)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = p.parse_args()
    ids = [int(n) for n in args.ids.split(",")]
    llm = llama_cpp.Llama(args.model, n_ctx=len(ids) + args.new + 8, n_batch=len(ids), n_ubatch=max(512, len(ids)),
                          n_threads=args.threads, n_threads_batch=args.threads, verbose=False)
    vocabulary = llm.n_vocab()

    def decode(tokens):
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        if llama_cpp.llama_decode(llm.ctx, llama_cpp.llama_batch_get_one(array, len(tokens))):
            raise SystemExit("llama_decode failed")
        return int(np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llm.ctx, -1), (vocabulary,)).argmax())

    forget = lambda: llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(llm.ctx), True)
    decode(ids[:8])  # its own warm-up: the first call allocates and reads the file
    forget()
    begin = time.perf_counter()
    token = decode(ids)
    middle = time.perf_counter()
    for _ in range(args.new): token = decode([token])
    end = time.perf_counter()
    print(json.dumps(dict(prompt=len(ids), prompt_rate=len(ids) / (middle - begin), new=args.new,
                          decode_rate=args.new / (end - middle), version=llama_cpp.__version__)))


if __name__ == "__main__": main()

"""Build the pocket world's files: data, data card, tokenizer and base model, all from one seed."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from . import DATA, card, judge, pretrain
from .build import SEED, SIZES, as_text, digest, rows_of, world_words, write_gzip


def build_data(out: Path, seed: int) -> None:
    """Write all data files and the data card to the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    if seed == SEED:
        (Path(__file__).parent / "words.txt").write_text("\n".join(world_words()) + "\n", encoding="utf-8")
        judge.vocabulary.cache_clear()
    made = {}
    for name in SIZES:
        start = time.perf_counter()
        rows = rows_of(name, seed)
        text = as_text(rows)
        path = out / f"{name}.jsonl.gz"
        write_gzip(path, text)
        made[name] = (rows, digest(text))
        print(
            f"{path.name:28} {len(rows):6} rows {path.stat().st_size / 1e6:6.2f} MB "
            f"{time.perf_counter() - start:6.1f} s"
        )
    (out / "README.md").write_text(card.data_card(made, seed), encoding="utf-8")


def main() -> None:
    """`python -m prefnb.pocket`: rebuild the shipped data and base model."""
    parser = argparse.ArgumentParser(prog="python -m prefnb.pocket", description=__doc__)
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to (default: the shipped data)")
    parser.add_argument("--data-only", action="store_true", help="leave the base model as it is")
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed of the world (default {SEED})")
    options = parser.parse_args()
    start = time.perf_counter()
    build_data(options.out, options.seed)
    if not options.data_only:
        pretrain.build_model(options.out / "base_model", options.seed)
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"The pocket world is in {options.out}: {size / 1e6:.1f} MB, made in {time.perf_counter() - start:.0f} s.")


if __name__ == "__main__":
    main()

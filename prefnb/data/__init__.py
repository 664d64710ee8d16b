"""Rows to learn from: preference pairs, dialogs and prompts, from the pocket world, a local file or the hub.

    source = data.Source("pocket")
    source.pairs("train", limit=1000, seed=0), source.judge

| file      | idea                                                                              |
|-----------|-----------------------------------------------------------------------------------|
| `tables`  | what every reader gives, a `Table`; what is wrong with a source, a `DataError`    |
| `readers` | a local file as a table, whatever its format                                      |
| `hub`     | a data set of the Hugging Face hub as tables                                      |
| `rows`    | what one row says, whatever its columns are called; the one shape it comes out in |
| `splits`  | which rows serve which purpose: splits, hold-out, leaks, subsets                  |
| `source`  | `Source`: all of these behind one name, with its judge, if it has one             |
"""

from prefnb.data.readers import SUFFIXES
from prefnb.data.source import Source
from prefnb.data.tables import DataError

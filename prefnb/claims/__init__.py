"""The long runs: every claim of the four papers at a size where it can be decided, on several seeds. `make claims`.

| file      | holds                                                                                        |
|-----------|----------------------------------------------------------------------------------------------|
| `arms`    | what is trained: every policy that a claim needs, by name, and the grids of settings          |
| `measure` | what is kept of a policy: its scores on the test prompts, flaws, KL, held-out margins, ...     |
| `run`     | the plan, both cores, progress; interrupted, it goes on                                        |
| `results` | what came out, read from data/claims: scores by seed and prompt, rates with intervals, ranks   |
| `table`   | the twenty claims: the paper's figure, ours, the verdict                                       |

Results are kept in data/claims, one gzipped JSON a method, and the first seed's policies in data/zoo: `models.zoo("dpo")`.
"""

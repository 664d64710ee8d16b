"""A notebook's own functions and constants, without running the notebook.

    source = load("02_dpo", "dpo")
    source.dpo(policy, reference, beta=0.1)

The `.py` source is parsed, and of its top-level statements only the imports and the named definitions are executed, in
their order in the notebook. So a definition may use an earlier one, if that is named too.
"""

import ast
from pathlib import Path
from types import SimpleNamespace

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def load(notebook: str, *names: str) -> SimpleNamespace:
    """The functions, classes and constants `names` of notebooks/`notebook`.py; LookupError for one that is not there."""
    path = NOTEBOOKS / f"{notebook}.py"
    statements = ast.parse(path.read_text(encoding="utf-8"), str(path)).body
    wanted = [one for one in statements
              if isinstance(one, (ast.Import, ast.ImportFrom)) or set(names) & set(_defines(one))]
    missing = set(names) - {name for one in wanted for name in _defines(one)}
    if missing:
        raise LookupError(f"{path.name} defines no {', '.join(sorted(missing))} at the top level of a cell.")
    namespace = {"__name__": notebook}
    exec(compile(ast.Module(wanted, []), str(path), "exec"), namespace)
    return SimpleNamespace(**{name: namespace[name] for name in names})


def _defines(statement: ast.stmt) -> list[str]:
    """The names that a statement gives a function, a class or a value."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]

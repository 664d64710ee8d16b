"""The arrows between the package's modules run one way."""

import ast
import graphlib

from prefnb import source

MODULES = {".".join(["prefnb", *path.with_suffix("").parts]).removesuffix(".__init__"): path for path in source.TEXTS}


def arrows(module: str) -> set[str]:
    """The modules that this one imports from, anywhere in it. A name that another package hands on is an arrow to the
    module that defines it; one that its own package hands on is an arrow to the package."""
    found = set()
    for node in ast.walk(ast.parse(source.TEXTS[MODULES[module]])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & MODULES.keys()
        elif isinstance(node, ast.ImportFrom):
            target = source._imported_from(node, module)
            for name in (alias.name for alias in node.names if target in MODULES):
                place = None if module.startswith(f"{target}.") else source._definition((target, name))
                found.add(f"{target}.{name}" if f"{target}.{name}" in MODULES else place[0] if place else target)
    return found


def room(module: str) -> str:
    """The top-level room that a module is in."""
    return module.split(".")[1] if "." in module else module


def test_no_module_imports_itself_on_any_way():
    """Guards against rooms that can only be understood together, lazy imports inside functions included."""
    graph = {module: arrows(module) for module in MODULES}
    rooms = {}
    for module, targets in graph.items():
        rooms.setdefault(room(module), set()).update(map(room, targets))
    drawn = "\n".join(f"{name} -> {', '.join(sorted(to - {name}))}" for name, to in sorted(rooms.items()))
    try:
        graphlib.TopologicalSorter(graph).prepare()
        graphlib.TopologicalSorter({name: to - {name} for name, to in rooms.items()}).prepare()
    except graphlib.CycleError as error:
        circle = " imports ".join(reversed(error.args[1]))
        raise AssertionError(f"{circle}\n\nAll rooms' arrows:\n{drawn}") from None

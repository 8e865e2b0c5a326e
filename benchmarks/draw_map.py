"""How is xprobe built? Draws the map from the imports: folders, arrows between them, sizes.

    python benchmarks/draw_map.py [--at COMMIT] [--markdown FILE] [--figure FILE]

How to read it: a folder may import only from folders below it, so the map says "0 upward, no
circle" of a house in order; `tests/test_architecture.py` keeps it so, with the functions of this
file. With ``--at COMMIT`` the same is counted of a commit, for a comparison of before and after;
where the package was flat then, its modules stand in place of folders. ``--markdown`` writes what
is printed to a file, ``--figure`` draws the folders (SVG or PNG).
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAME = "xprobe"

# The order of the folders (and of the modules beside them), the ground first: each imports only
# from those before it. Whatever stands beside the folders and is not listed here (`__main__`,
# `__init__`, old names that are still importable) is the roof: no folder imports it.
FOLDERS = {
    "base": "errors, whole files, arrays",
    "engine": "where work runs",
    "images": "files → image table",
    "verdict": "pure statistics",
    "encoders": "pixels → features",
    "features": "images × encoders → store",
    "results": "documents on disk",
    "learners": "training part → scores",
    "design": "what is trained and tested",
    "distance": "how far synthetic is",
    "generation": "images from prompts",
    "study": "the sweep",
    "report": "words, figures, pages",
    "demo": "an offline study",
    "cli": "parse, one call, print",
}
ORDER = tuple(FOLDERS)

# Names that say nothing of what they stand for.
PREPOSITIONS = frozenset({"found", "own", "each", "of", "made", "there", "at", "here"})

_ENTRY = re.compile(r"[A-Za-z_]\w*(\.\w+)+:\w+")  # module:name, as registries write it


@dataclass(frozen=True)
class Function:
    """A function or method: its name, its length, and how many parameters it takes but self."""

    name: str
    lines: int
    parameters: int


@dataclass(frozen=True)
class Module:
    """A source file of the package.

    Attributes:
        name: dotted; that of the folder for an ``__init__.py``.
        text: the source.
        is_folder: whether it is an ``__init__.py``.
    """

    name: str
    text: str
    is_folder: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def place(self) -> str:
        """Its name below the package, as messages say it."""
        below = self.name.partition(".")[2]
        return ".".join(part for part in (below, "__init__" * self.is_folder) if part)

    @cached_property
    def imports(self) -> list[str]:
        """What it imports, as dotted names, anywhere in the file: ``from a import b`` is ``a.b``.

        Imports inside functions and under TYPE_CHECKING count, relative ones are resolved, and
        attributes of the package (``xprobe.sweep``) and ``import_module`` of a name that is
        written out count, too.
        """
        names: list[str] = []
        for node in ast.walk(self.tree):
            match node:
                case ast.Import():
                    names += [alias.name for alias in node.names]
                case ast.ImportFrom():
                    package = self._package(node)
                    names += [f"{package}.{alias.name}" for alias in node.names]
                case ast.Attribute(value=ast.Name(id=root)) if root == self.name.split(".")[0]:
                    names.append(f"{root}.{node.attr}")
                case ast.Call(args=[ast.Constant(value=str(name)), *_]) if called(node) in (
                    "import_module", "__import__",
                ):  # fmt: skip
                    names.append(name)
        return names

    @cached_property
    def rows(self) -> list[str]:
        """The strings ``"package.module:name"`` in it, of rows that are imported by name later."""
        constants = [node.value for node in ast.walk(self.tree) if isinstance(node, ast.Constant)]
        texts = [value for value in constants if isinstance(value, str)]
        return [text.replace(":", ".") for text in texts if _ENTRY.fullmatch(text)]

    def _package(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_folder]
        return ".".join([*parts, *([node.module] if node.module else [])])

    @cached_property
    def functions(self) -> list[Function]:
        return [
            Function(f"{self.place}.{node.name}", _lines(node), _parameters(node.args))
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    @cached_property
    def bindings(self) -> list[tuple[str, int]]:
        """Every name that it gives something, with the line: variables, parameters, attributes,
        functions, classes, aliases of imports, exceptions, captures of patterns."""
        return [(name, line) for node in ast.walk(self.tree) for name, line in _bound(node)]

    @property
    def untyped_dicts(self) -> int:
        """How often ``dict[str, Any]`` stands in its code."""
        return sum(
            isinstance(node, ast.Subscript) and ast.unparse(node) == "dict[str, Any]"
            for node in ast.walk(self.tree)
        )


House = Mapping[str, Module]  # by dotted name


def called(node: ast.Call) -> str:
    """Return the name of what is called, without what it is an attribute of."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _parameters(arguments: ast.arguments) -> int:
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    starred = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return len(names) + len(starred) - (names[:1] in (["self"], ["cls"]))


def _bound(node: ast.AST) -> Iterator[tuple[str, int]]:
    match node:
        case ast.Name(ctx=ast.Store(), id=name) | ast.Attribute(ctx=ast.Store(), attr=name):
            yield name, node.lineno
        case ast.arg(arg=name) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, node.lineno
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, node.lineno
        case ast.ExceptHandler(name=str(name)) | ast.alias(asname=str(name)):
            yield name, node.lineno


def read_folder(package: Path) -> House:
    """Return the modules of a package's folder."""
    files = {file.relative_to(package.parent): file for file in sorted(package.rglob("*.py"))}
    return _house({name.as_posix(): file.read_text("utf-8") for name, file in files.items()})


def read_commit(commit: str) -> House:
    """Return the modules of xprobe as they were at a commit of this checkout."""
    command = ["git", "-C", str(ROOT), "archive", commit, NAME]
    packed = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = [member for member in archive if member.name.endswith(".py")]
        return _house({f.name: archive.extractfile(f).read().decode() for f in files})  # type: ignore[union-attr]


def _house(texts: Mapping[str, str]) -> House:
    modules = []
    for path, text in texts.items():
        parts = path.removesuffix(".py").split("/")
        is_folder = parts[-1] == "__init__"
        modules.append(Module(".".join(parts[: len(parts) - is_folder]), text, is_folder))
    return {module.name: module for module in modules}


def targets(house: House, module: Module, with_rows: bool = False) -> Iterator[str]:
    """Yield the modules of the house that a module imports, as often as it does.

    Every import of a part imports the package, too: a bare ``import xprobe``, for the place where
    it lies, and its ``__version__`` are no arrows. `with_rows`: and what its rows name.
    """
    root = module.name.split(".")[0]
    for name in module.imports + module.rows * with_rows:
        parts = name.split(".")
        if parts[0] != root or parts[1:2] in ([], ["__version__"], ["__file__"]):
            continue
        prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        target = next(prefix for prefix in prefixes if prefix in house)
        if target != module.name:
            yield target


def unit(name: str) -> str:
    """Return the folder of a module (or the module beside the folders); "" for the package."""
    return name.split(".")[1] if "." in name else ""


def arrows(house: House) -> Counter[tuple[str, str]]:
    """Return how many imports lead from a folder to another one: of two modules, once."""
    pairs = {(m.name, target) for m in house.values() for target in targets(house, m)}
    between = ((unit(a), unit(b)) for a, b in pairs)
    return Counter((a, b) for a, b in between if a != b)


def rank(folder: str) -> int:
    """Return the place of a folder in `ORDER`; the roof is above all of them."""
    return ORDER.index(folder) if folder in ORDER else len(ORDER)


def upward(house: House) -> list[str]:
    """Return what leads up, to a folder above or to the roof: imports, and rows of registries."""
    return [
        f"{module.place} imports {target.partition('.')[2] or target}"
        for module in house.values()
        for target in sorted(set(targets(house, module, with_rows=True)))
        if rank(unit(target)) > rank(unit(module.name))
    ]


def circles(house: House) -> list[str]:
    """Return the circles of imports: between folders, and inside each folder between its files
    and sub-folders, where a sub-folder counts as one."""
    graphs: dict[str, dict[str, set[str]]] = {}
    for module in house.values():
        for target in targets(house, module):
            package, start, end = _siblings(house, module.name, target)
            graphs.setdefault(package, {}).setdefault(start, set()).add(end)
    messages = []
    for package, graph in graphs.items():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            messages.append(f"{package}: " + " → ".join(reversed(error.args[1])))
    return messages


def _siblings(house: House, start: str, end: str) -> tuple[str, str, str]:
    """Return the innermost folder that holds both modules, and what of it holds each."""
    a, b = ([*n.split("."), *(["__init__"] * house[n].is_folder)] for n in (start, end))
    shared = next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return ".".join(a[:shared]), a[shared], b[shared]


def floors(house: House) -> dict[str, int]:
    """Return on which floor each folder stands, the ground being 0; {} where there is a circle."""
    below: dict[str, set[str]] = {unit(name): set() for name in house}
    for start, end in arrows(house):
        below[start].add(end)
    floor: dict[str, int] = {}
    try:
        for folder in TopologicalSorter(below).static_order():
            floor[folder] = max((floor[f] + 1 for f in below[folder]), default=0)
    except CycleError:
        return {}
    return floor


# What a folder is for is said in CONTRIBUTING.md; here it is drawn how large each is.


def numbers(house: House) -> dict[str, str]:
    """Return what is compared of two versions."""
    modules = [m for m in house.values() if m.text]
    functions = [f for m in modules for f in m.functions]
    largest, longest = max(modules, key=lambda m: m.lines), max(functions, key=lambda f: f.lines)
    widest = max(functions, key=lambda f: f.parameters)
    many = sum(f.parameters >= 10 for f in functions)
    is_flat, floor = len(folders(house)) == 0, floors(house)
    return {
        "modules, lines": f"{len(modules)}, {sum(m.lines for m in modules):,}",
        "folders": f"{len(folders(house)) or 'none: arrows are between modules'}",
        "arrows": f"{len(arrows(house))}",
        "floors": f"{max(floor.values()) + 1}" if floor else "–",
        "upward": "–" if is_flat else f"{len(upward(house))}",
        "circles": "; ".join(circles(house)) or "no circle",
        "longest module, lines": f"{largest.lines} ({largest.place})",
        "longest function, lines": f"{longest.lines} ({longest.name})",
        "functions of 10 or more parameters": f"{many}, most {widest.parameters} ({widest.name})",
        "uses of `dict[str, Any]`": f"{sum(m.untyped_dicts for m in modules)}",
        "bindings called " + ", ".join(sorted(PREPOSITIONS)): f"{len(prepositions(house))}",
    }


def folders(house: House) -> list[str]:
    """Return the folders of the package, the highest first, as `ORDER` has them."""
    units = {unit(m.name) for m in house.values() if m.is_folder and m.name.count(".") == 1}
    return sorted(units, key=rank, reverse=True)


def prepositions(house: House) -> list[str]:
    """Return every binding of a name that says nothing, as ``module:line name``."""
    bound = [(m.place, line, name) for m in house.values() for name, line in m.bindings]
    return [f"{place}:{line} {name}" for place, line, name in bound if name in PREPOSITIONS]


def compared(versions: Mapping[str, House]) -> list[str]:
    """Return the lines of a Markdown table of the numbers, a column a version."""
    columns = {title: numbers(house) for title, house in versions.items()}
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for row in next(iter(columns.values())):
        lines.append(f"| {row} | " + " | ".join(column[row] for column in columns.values()) + " |")
    return lines


def drawn(house: House) -> list[str]:
    """Return the lines of the map: a folder a row, the highest first, and where its arrows lead."""
    between, floor = arrows(house), floors(house)
    units = {unit(name) for name in house}
    lines = ["| floor | | modules | lines | imports |", "|---:|---|---:|---:|---|"]
    for folder in sorted(units, key=lambda u: (floor.get(u, 0), rank(u), u), reverse=True):
        modules = [m for m in house.values() if unit(m.name) == folder and m.text]
        ends = sorted((n, end) for (start, end), n in between.items() if start == folder)
        size = f"{len(modules)} | {sum(m.lines for m in modules):,}"
        imports = ", ".join(f"{end or NAME} {n}" for n, end in reversed(ends))
        lines.append(f"| {floor.get(folder, '–')} | {folder or NAME} | {size} | {imports} |")
    return lines


def draw(house: House, file: Path) -> None:
    """Draw the folders on their floors, and those arrows that no longer way replaces."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    floor, between = floors(house), arrows(house)
    if not floor:
        raise SystemExit(f"there is a circle, and so no floors to draw: {circles(house)}")
    floor = {name: floor[name] for name in ORDER if name in floor}
    drawn_arrows = [
        (start, end) for start, end in between
        if start in floor and end in floor and not _is_implied(between, start, end)
    ]  # fmt: skip
    place: dict[str, tuple[float, float]] = {}
    for y in sorted(set(floor.values())):
        row = [name for name in ORDER if floor.get(name) == y]
        ends = [place[end][0] for start, end in drawn_arrows if start == row[0]]
        middle = sum(ends) / len(ends) if len(row) == 1 and ends else 0.0
        for x, name in enumerate(row):
            place[name] = (middle + 2.2 * (x - (len(row) - 1) / 2), float(y))
    figure = Figure(figsize=(7.5, 0.85 * len(set(floor.values()))), layout="constrained")
    axes = figure.subplots()
    for start, end in drawn_arrows:
        (x, y), (u, v) = place[start], place[end]
        arrow = {"arrowstyle": "-|>", "color": "#8a97a5", "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (u, v + 0.29), (x, y - 0.28), arrowprops=arrow, zorder=0)
    for name, (x, y) in place.items():
        box = Rectangle((x - 0.95, y - 0.27), 1.9, 0.54, facecolor="#eef3f8", edgecolor="#33658a")
        axes.add_patch(box)
        axes.text(x, y + 0.1, name, ha="center", va="center", fontsize=10, weight="bold")
        axes.text(x, y - 0.11, FOLDERS[name], ha="center", va="center", fontsize=7.5)
    up, round_ = len(upward(house)), "; ".join(circles(house)) or "no circle"
    axes.set_title(
        f"{len(between)} arrows between folders, {up} upward, {round_}\n"
        "(an arrow is left out where a longer way says the same)", fontsize=9,
    )  # fmt: skip
    axes.set_xlim(-3.5, 3.5)
    axes.set_ylim(-0.4, max(floor.values()) + 0.4)
    axes.axis("off")
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": NAME}):
        figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else None)


def _is_implied(between: Mapping[tuple[str, str], int], start: str, end: str) -> bool:
    """Whether a way over other folders leads from `start` to `end`."""
    seen, todo = set[str](), [b for a, b in between if a == start and b != end]
    while todo:
        folder = todo.pop()
        if folder == end:
            return True
        if folder not in seen:
            seen.add(folder)
            todo += [b for a, b in between if a == folder]
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at", metavar="COMMIT", help="count the same of a commit, beside")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write what is printed")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the folders")
    arguments = parser.parse_args()
    house = read_folder(ROOT / NAME)
    versions = {"now": house}
    if arguments.at:
        versions = {arguments.at: read_commit(arguments.at), **versions}
    lines = compared(versions)
    for title, version in versions.items():
        lines += ["", f"**{title}**", "", *drawn(version)]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if arguments.markdown:
        arguments.markdown.write_text(text, encoding="utf-8")
    if arguments.figure:
        draw(house, arguments.figure)


if __name__ == "__main__":
    main()

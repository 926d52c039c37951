"""Write a run as one Python file that needs nothing of ours."""

import ast
import graphlib
import re
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnntrain.eject.inlining import Inliner, find_import, find_plain_type, list_local_names
from cnntrain.eject.layout import WIDTH, fit_line
from cnntrain.eject.settings import choose_substitutes, collect_components, collect_settings
from cnntrain.eject.sources import TEMPLATE, Import, Place, find_constant, read_source
from cnntrain.eject.writing import write_definition
from cnntrain.errors import SpecError
from cnntrain.inference.classifier import Classifier

SETTINGS = f"{TEMPLATE}settings"
PARTS = ("network", "images", "step", "training")  # of the template, in the order of the script
VERSIONS = (
    "python", "tensorflow", "keras", "numpy", "tensorflow-datasets", "scikit-learn", "pillow"
)  # fmt: skip
# Attributes by which a network asks for a loss, or first weights, that a script has no form of.
ATTRIBUTES = ("rejection", "whitening")


@dataclass(frozen=True)
class Script:
    """A script in parts: the paragraphs that introduce it, and the title and lines of each part."""

    introduction: list[str]
    parts: list[tuple[str, list[str]]]

    def format_text(self) -> str:
        """Return the text of the file, with a comment above each part."""
        wrapped = [textwrap.fill(paragraph, WIDTH - 3) for paragraph in self.introduction]
        blocks = [f"# %% {title}\n" * bool(title) + "\n".join(own) for title, own in self.parts]
        text = "\n\n".join(wrapped).replace("\\", "\\\\").replace('"""', '\\"""')
        head, imports = f'"""{text}\n"""', blocks[0]
        return "\n\n".join([head, imports, "\n\n\n".join(blocks[1:])]) + "\n"


def write_script(run: Classifier) -> Script:
    """Return the script that repeats a run.

    Raises SpecError for a run with a part that cannot be written out.
    """
    components = collect_components(run.spec)
    default = {name: find_constant(Place(SETTINGS, name)) for name in list_settings()}
    settings = default | collect_settings(run)
    trial = make_inliner(run, settings, components)
    trial.run()
    inliner = make_inliner(run, settings | inspect_components(run, trial), components)
    inliner.known_folds = {
        k: v for k, v in trial.known_folds.items() if not k.module.startswith(TEMPLATE)
    }
    inliner.run()
    writer = ScriptWriter(inliner)
    *parts, (title, last) = writer.write_parts()
    end = ["", "", 'if __name__ == "__main__":', "    main()"]
    head = [("", writer.write_imports()), ("Settings", writer.write_settings())]
    return Script(introduce_script(run), [*head, *parts, (title, [*last, *end])])


def make_inliner(
    run: Classifier, settings: Mapping[str, Any], components: Mapping[str, Any]
) -> Inliner:
    planned = run.record["planned"]
    conditions = {
        components["build_model"][0].module: {
            "image_shape": run.image_shape, "num_classes": len(run.class_names)
        },
        "cnntrain.training.schedules": {
            "steps_per_epoch": planned["steps_per_epoch"], "total_steps": planned["steps"]
        },
    }  # fmt: skip
    substitutes = choose_substitutes(run)
    root = Place(f"{TEMPLATE}training", "main")
    return Inliner(root, settings, components, conditions, substitutes)


def list_settings() -> list[str]:
    return [*read_source(SETTINGS).definitions]


def inspect_components(run: Classifier, inliner: Inliner) -> dict[str, Any]:
    """Return the settings that the code of the components decides, once it is folded.

    Raises SpecError for a network that asks for what a script has no form of.
    """
    text = "\n".join(
        ast.unparse(node)
        for place, node in inliner.folded.items()
        if not place.module.startswith(TEMPLATE)
    )
    for attribute in ATTRIBUTES:
        if re.search(rf"\.{attribute} = ", text):
            raise SpecError(
                f"{run.spec.model.name} sets {attribute}, which cannot be written out as a script",
                "a network without",
            )
    names = {place.name for place in inliner.folded}
    return {
        "HAS_BATCH_NORM": "layers.BatchNormalization" in text or "keras.applications" in text,
        "HAS_PRETRAINED": ".pretrained = " in text
        and run.spec.model.knobs.get("weights", True) is not None,
        "SOFT_LABELS": "mix_labels" in names,
        "ALTERNATES": "random.half" in text,
        "NESTS_MODELS": "chain_blocks" in names,
    }


def introduce_script(run: Classifier) -> list[str]:
    """Return the paragraphs that say what a script is, and what made the run."""
    spec, record = run.spec, run.record
    words = [word for word in record.get("overrides", []) if not word.startswith("hydra.")]
    versions = record.get("versions", {})
    told = ", ".join(f"{name} {versions[name]}" for name in VERSIONS if name in versions)
    model, dataset = spec.model.name, spec.dataset.knobs.get("tfds", spec.dataset.name)
    return [
        f"A training of {model} on {dataset}, as `{shlex.join(['cnntrain', *words])}` does it, "
        "without cnntrain.",
        f"On the same machine, with the same data and versions ({told}), it ends with the same "
        "weights, bit for bit, and says so. It saves final.keras, and best.keras of the best "
        "epoch, where it is started.",
    ]


class ScriptWriter:
    """Writes the definitions that an inliner has reached, part after part of the template."""

    def __init__(self, inliner: Inliner):
        self.inliner = inliner
        self.names = self.choose_names()
        self.imports: set[Import] = set()
        self.settings: set[str] = set()

    def choose_names(self) -> dict[Place, str]:
        """Return the name of each definition in the script; no two have the same.

        None is that of a local name where it is used.
        """
        local: dict[Place, set[str]] = {}
        for place in self.inliner.folded:
            for _, target in self.inliner.find_references(place):
                local.setdefault(target, set()).update(list_local_names(self.inliner.folded[place]))
        curve = self.inliner.components["compute_curve"][0]
        names: dict[Place, str] = {}
        for place in self.inliner.folded:
            name = f"{place.name}_curve" if place == curve else place.name.lstrip("_")
            if name in names.values() or name in local.get(place, ()):
                name = f"{place.module.rpartition('.')[2]}_{name}"
            names[place] = name
        return names

    def write_parts(self) -> list[tuple[str, list[str]]]:
        """Return the title and the lines of each part of the script, with the code that it needs.

        A definition stands in the first part that reaches it.
        """
        done = set[Place]()
        parts: list[tuple[str, list[Place]]] = []
        for part in PARTS:
            source = read_source(TEMPLATE + part)
            title = str(ast.get_docstring(source.tree)).rstrip(".")
            own = [Place(source.name, name) for name in source.definitions]
            roots = [place for place in own if place in self.inliner.folded]
            reached = [p for root in roots for p in self.list_reached(root, done)]
            needs = {p: {t for _, t in self.inliner.find_references(p)} for p in reached}
            parts.append((title, sort_for_reading(reached, self.inliner.folded, needs)))
        for place, node in self.inliner.folded.items():
            Renamer(self, place).visit(node)
        written = [(title, [*map(self.write_place, places)]) for title, places in parts if places]
        return [(title, join_blocks(blocks)) for title, blocks in written]

    def list_reached(self, place: Place, done: set[Place]) -> list[Place]:
        """Return a definition and, behind it, those that it needs and that are not written yet."""
        if place in done:
            return []
        done.add(place)
        found = [place]
        for _, target in self.inliner.find_references(place):
            if not target.module.startswith(TEMPLATE) or target.module.endswith(".plainer"):
                found += self.list_reached(target, done)
        return found

    def write_place(self, place: Place) -> list[str]:
        node = self.inliner.folded[place]
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            value = find_constant(place)
            return [f"{self.names[place]} = {value!r}"]
        return write_definition(node, self.inliner.get_constants(place))

    def write_imports(self) -> list[str]:
        """Return the lines that import what the parts use."""
        modules: dict[str, set[str]] = {}
        plain = set[str]()
        for found in self.imports:
            if found.name is None:
                alias = "" if found.alias == found.module else f" as {found.alias}"
                plain.add(f"import {found.module}{alias}")
            else:
                alias = "" if found.alias == found.name else f" as {found.alias}"
                modules.setdefault(found.module, set()).add(f"{found.name}{alias}")
        lines = [*sorted(plain, key=sort_import)]
        for module in sorted(modules, key=str.lower):
            names = sorted(modules[module], key=lambda n: (not n.isupper(), not n[0].isupper(), n))
            lines += [f"from {module} import {', '.join(names)}"]
        standard = [
            line for line in lines if line.split()[1].partition(".")[0] in sys.stdlib_module_names
        ]
        others = [line for line in lines if line not in standard]
        return [*standard, *([""] if standard and others else []), *others]

    def write_settings(self) -> list[str]:
        """Return the lines of the settings that the parts use, in the order of the template."""
        lines, source = list[str](), read_source(SETTINGS)
        for node in source.tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                names = [n.id for n in ast.walk(target) if isinstance(n, ast.Name)]
                comment = source.comments.get(node.end_lineno or 0, (0, ""))[1]
                for name in names:
                    if name in self.settings:
                        value = repr(self.inliner.settings[name]).replace("'", '"')
                        line = f"{name} = {value}"
                        too_long = len(f"{line}  {comment}") > WIDTH
                        lines += [comment] if comment and too_long else []
                        lines += fit_line(line, 0)
                        lines[-1] += f"  {comment}" if comment and not too_long else ""
        return lines


class Renamer(ast.NodeTransformer):
    """Gives the references of a definition the names that they have in the script.

    Notes on the way which libraries and settings it uses.
    """

    def __init__(self, writer: ScriptWriter, place: Place):
        self.writer, self.place = writer, place
        self.source = read_source(place.module)
        self.local = list_local_names(writer.inliner.folded[place])

    def visit_Name(self, node: ast.Name) -> Any:
        return node if node.id in self.local else self.rename_node(node, node.id)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id not in self.local:
            found = self.rename_node(node, None)
            if found is not node:
                return found
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        if Place(self.place.module, node.name) == self.place:
            node.name = self.writer.names[self.place]
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return self.visit_FunctionDef(node)  # type: ignore[arg-type]

    def rename_node(self, node: Any, name: str | None) -> Any:
        target = self.source.resolve_node(node)
        if isinstance(target, Place):
            if (plain := find_plain_type(target)) is not None:
                return ast.parse(plain, mode="eval").body
            if target.module == SETTINGS:
                self.writer.settings.add(target.name)
            target, _ = self.writer.inliner.resolve_component(target)
            return ast.copy_location(
                ast.Name(self.writer.names.get(target, target.name), node.ctx), node
            )
        if name is not None and (found := find_import(self.place, name)) is not None:
            self.writer.imports.add(found)
        return node


def sort_for_reading(
    places: Sequence[Place], folded: Mapping[Place, ast.stmt], needs: Mapping[Place, set[Place]]
) -> list[Place]:
    """Return definitions in the order in which they are needed, but constants where they can be.

    A constant of plain values comes first. One that names functions comes last, because they must
    have been defined.
    """
    found = [p for p in places if isinstance(folded[p], ast.Assign | ast.AnnAssign)]
    inner = {p: sorted(needs[p].intersection(found)) for p in found}
    constants = [*graphlib.TopologicalSorter(inner).static_order()]
    late = [p for p in constants if any(target not in constants for target in needs[p])]
    classes = [
        p
        for p in places
        if isinstance(folded[p], ast.ClassDef) and not p.module.startswith(TEMPLATE)
    ]  # annotations name them
    first = [*(p for p in constants if p not in late), *classes]
    return [*first, *(p for p in places if p not in first and p not in late), *late]


def join_blocks(blocks: Sequence[list[str]]) -> list[str]:
    """Return the lines of definitions with two empty lines around functions and classes."""
    lines: list[str] = []
    before = False
    for block in blocks:
        is_definition = any(re.match(r"def |class |@", line) for line in block)
        if lines:
            lines += ["", ""] if is_definition or before else []
        lines += block
        before = is_definition
    return lines


def sort_import(line: str) -> str:
    return line.split()[1].lower()

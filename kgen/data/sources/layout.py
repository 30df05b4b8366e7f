"""What the paths of a folder or an archive mean: which folders are splits, and which are classes.

`read_folders` decides it once, from the tree of folders that hold pictures: (1) folders that say nothing are removed (a
single folder around everything, `images` alone in its folder); (2) a level of splits is looked for; (3) what is left
above the pictures are classes. Where two readings are possible, the likelier one is taken, and a finding names both
with the `--layout` of the other. `number_classes` gives the classes their numbers and leaves out what has none.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kgen.data.sources.base import Skipped, order_class_names
from kgen.errors import UserError
from kgen.tables import counted

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "test": "test",
    "testing": "test",
    "testset": "test",
    "eval": "test",
    "evaluation": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "valset": "validation",
    "dev": "validation",
}
"""Word -> the split that it names. Of two words for one split, the earlier one counts."""
SPLIT_ORDER = tuple(dict.fromkeys(SPLIT_NAMES.values()))
SECOND_CHOICE = {"eval": "validation", "evaluation": "validation"}
"""What a word means where another folder is its split."""
NEUTRAL = {
    *("image", "images", "imgs", "img", "set", "data", "dataset", "split", "pictures", "photos", "samples", "folder"),
    *("jpg", "jpeg", "png"),
}
"""Words beside that of a split that change nothing: train_images, "test-set"."""
IMAGE_FOLDERS = {"images", "image", "imgs", "img", "jpegimages", "pngimages"}
ANNOTATION_FOLDERS = {
    *("annotations", "annotation", "labels", "label", "masks", "mask", "gt", "ground_truth", "groundtruth", "trimaps"),
    *("segmentation", "segmentations", "segmentationclass", "segmentationobject", "depth"),
}
BATCHES = {
    *("batch", "part", "fold", "set", "subset", "chunk", "shard", "session", "day", "dir", "folder", "group", "run"),
    *("disk", "disc", "vol", "volume", "data", "split"),
}
"""What folders are called, with a number or a letter, that are no classes."""
PIECES = {"batch", "part", "chunk", "shard", "disk", "disc", "vol", "volume", "fold", "split"} | IMAGE_FOLDERS
"""The last word of folders, before a number or a letter, that are no classes even where no folder lies in them."""
THOUSAND = re.compile(r"\d+000")
"""Name of a folder of the pictures whose numbers begin there, by the thousand."""
SHOWN = 10
"""Names in a list before it is cut."""
ANY = "folder"
"""The word of a layout for a level that means nothing."""
STRAY_SHARE = 0.1
"""Largest share of pictures beside a single folder that do not make it the one around everything."""
CAMERA_WORDS = {
    *("img", "image", "dsc", "dscn", "dscf", "pxl", "pic", "picture", "photo", "screenshot", "scan", "frame", "vid"),
    *("whatsapp image", "untitled", "bild", "foto", "capture", "snapshot", "seed", "sample", "page"),
}
"""What the names of pictures begin with that has nothing to do with what they show."""
NAMES_LOOKED_AT = 5000
NAMED_ALIKE = 3
"""Least number of pictures whose names begin with a word that may be a label."""
CROWD = 20
"""Classes from which on a finding says that most have one image."""


@dataclass
class Folders:
    """Pictures by split, with the names of their classes.

    Attributes:
        paths: split -> the paths of its pictures.
        classes: split -> the name of the class of each; None where it has none.
        split_folders: split -> the folders that it was read from, for the note.
        class_parents: the folders that hold class folders, as tuples of names.
        skipped: single pictures that belong to no split.
        findings: see Source.
        class_findings: those about the classes that folders give.
        labels_from: the files that classes were read from -> what the note says of them.
        label_files: those that may hold labels; a finding names those that are not used.
        stray: why a picture without a class has none.
    """

    paths: dict[str, list[str]]
    classes: dict[str, list[str | None]]
    split_folders: dict[str, list[str]] = field(default_factory=dict)
    class_parents: set[tuple[str, ...]] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    class_findings: list[str] = field(default_factory=list)
    labels_from: dict[str, str] = field(default_factory=dict)
    label_files: list[str] = field(default_factory=list)
    stray: str = "has no label: it lies beside the class folders"

    @property
    def labelled(self) -> bool:
        """Whether the training images, of two or more classes together with the other splits, have classes."""
        names = {name for names in self.classes.values() for name in set(names)} - {None}
        return len(names) > 1 and any(name is not None for name in self.classes.get("train", ()))


@dataclass(frozen=True)
class Layout:
    """What the paths of a folder or an archive mean.

    Attributes:
        paths: split -> the paths of its pictures.
        labels: split -> their labels, all 0 when there are no classes.
        class_names: one per class, in the order of the labels; empty when there are no classes.
        skipped: pictures that belong to no split or no class.
        description: of the layout as it was understood, one sentence.
        findings: what is ambiguous, and what is left out.
    """

    paths: dict[str, list[str]]
    labels: dict[str, list[int]]
    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    description: str
    findings: tuple[str, ...]


def read_layout(paths: Sequence[str], pattern: str | None = None) -> Layout:
    """The splits, classes and labels that the paths of a data set mean, by its folders alone.

    Args:
        paths: of the pictures, with forward slashes, relative to the data set.
        pattern: see `DataConfig.layout`.
    """
    return number_classes(read_folders(paths, pattern))


def read_folders(paths: Sequence[str], pattern: str | None = None) -> Folders:
    """The splits and classes of the paths; see `read_layout`."""
    tree = Tree(paths)
    found = Folders({}, {})
    tree.drop_annotations(found)
    tree.drop_image_folders()
    tree.strip_common_top()
    levels = pattern.split("/") if pattern else None
    if levels is None:
        _part_joined_names(tree, found)
        split_level, splits, ambiguous = _find_splits(tree, found)
    else:
        split_level, ambiguous = (levels.index("split") if "split" in levels else None), None
        splits = {}
        if split_level is not None:
            named = {f[split_level] for f in tree.names() if len(f) > split_level}
            splits = _choose_words({name: split_of(name) for name in named if split_of(name)}, found)
    placed = _place_in_splits(tree, split_level, splits, found)
    if levels is None:
        removed = max([_strip_split_wrappers(tree, split, folders) for split, folders in placed.items()], default=0)
        class_level = _find_classes(tree, placed, split_level, removed, found)
    else:
        class_level = levels.index("class") if "class" in levels else None
        if class_level is not None and split_level is not None and split_level < class_level:
            class_level -= 1
    if ambiguous:
        found.findings.append(ambiguous)
    _fill(tree, placed, class_level, found)
    if pattern and "class" in levels and not found.labelled:
        raise UserError(
            f"data.layout={pattern!r} finds no two classes among the training images, whose folders are "
            f"{shorten(sorted({path.rpartition('/')[0] or '.' for path in found.paths.get('train', ())}), 5) or 'none'}"
        )
    return found


def number_classes(folders: Folders) -> Layout:
    """The layout of pictures whose classes are known: labels, the order of the classes, what is left out.

    Within a split, the order is that of a hash of the path: the same everywhere, and the first images show every class.
    """
    skipped, findings = list(folders.skipped), [*folders.class_findings, *folders.findings]
    paths, classes = dict(folders.paths), dict(folders.classes)
    labelled = folders.labelled
    if not labelled and any(len(set(names) - {None}) > 1 for names in classes.values()):
        findings.append("the training images have no classes: those of the other splits are not used")
    if labelled:
        _leave_out_unlabelled_splits(paths, classes, bool(folders.labels_from), findings)
    names = {name for split in classes.values() for name in set(split)} - {None} if labelled else ()
    class_names = order_class_names(names)
    number = {name: i for i, name in enumerate(class_names)}
    result, labels, strays = {}, {}, []
    for split in paths:
        kept = []
        for path, name in zip(paths[split], classes[split], strict=True):
            if labelled and name is None:
                strays.append(path)
            else:
                kept.append((_path_hash(path), path, number[name] if labelled else 0))
        kept.sort()
        result[split] = [path for _, path, _ in kept]
        labels[split] = [label for _, _, label in kept]
    if strays:
        if not folders.labels_from:
            skipped += [Skipped(path, folders.stray) for path in strays]
        findings.append(
            f"{counted(len(strays), 'image without a label is', 'images without a label are')} left out: "
            f"{shorten(sorted(strays), 3)}"
        )
    if labelled:
        findings += _doubtful_classes(class_names, labels)
    elif not folders.labels_from and (words := _words_in_names(paths.get("train", ()))):
        findings.append(
            f"the names of the images begin with what may be labels, which is not read: {shorten(words)}; to use them, "
            "put the images of each label into a folder of its own, or write a file for --labels"
        )
    source = f", from {shorten([*folders.labels_from.values()])}" if folders.labels_from else ""
    splits = _describe_splits(result, folders.split_folders)
    description = f"layout: {_describe_classes(class_names)}{source}; splits: {splits}"
    return Layout(result, labels, class_names, tuple(skipped), description, tuple(findings))


def find_empty_classes(folders: Folders, all_folders: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Folders beside the class folders that hold no picture, sorted.

    Args:
        folders: with their `class_parents`.
        all_folders: of the data set, relative to it.
        paths: of the pictures.
    """
    if not folders.class_parents:
        return []
    filled = set()
    for folder in {path.rpartition("/")[0] for path in paths}:
        parts = _parts(folder)
        filled.update(parts[:i] for i in range(1, len(parts) + 1))
    return sorted(
        folder
        for folder in all_folders
        if (parts := _parts(folder))
        and parts[:-1] in folders.class_parents
        and parts not in filled
        and parts[-1].lower() not in ANNOTATION_FOLDERS | IMAGE_FOLDERS
        and split_of(parts[-1]) is None
    )


def find_empty_splits(all_folders: Iterable[str], files: Iterable[str]) -> list[str]:
    """Folders that are called like splits and hold no file, sorted.

    Args:
        all_folders: of the data set, relative to it.
        files: all of them.
    """
    named = {folder for folder in all_folders if folder.rpartition("/")[2].lower() in SPLIT_NAMES}
    if named:
        for folder in {path.rpartition("/")[0] for path in files}:
            parts = folder.split("/")
            named.difference_update("/".join(parts[:i]) for i in range(1, len(parts) + 1))
    return sorted(named)


# The tree of folders --------------------------------------------------------------------------------------------------


class Tree:
    """The folders that hold pictures; levels that say nothing are removed from it.

    Attributes:
        files: folder, as it is in the paths -> its pictures.
        parts: the same folder -> its names, as a tuple.
        levels: the same folder -> the places in `parts` that are left.
    """

    def __init__(self, paths: Sequence[str]):
        self.files: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            self.files[path.rpartition("/")[0]].append(path)
        self.parts = {folder: _parts(folder) for folder in self.files}
        self.levels = {folder: tuple(range(len(parts))) for folder, parts in self.parts.items()}

    def name(self, folder: str) -> tuple[str, ...]:
        """The names that are left of a folder."""
        parts = self.parts[folder]
        return tuple(parts[i] for i in self.levels[folder])

    def names(self) -> list[tuple[str, ...]]:
        return [self.name(folder) for folder in self.files]

    def remove(self, folder: str, level: int) -> None:
        levels = self.levels[folder]
        self.levels[folder] = levels[:level] + levels[level + 1 :]

    def count(self, folders: Iterable[str]) -> int:
        return sum(len(self.files[folder]) for folder in folders)

    def leave_out(self, folders: Sequence[str]) -> int:
        """Removes folders with their pictures; returns how many these were."""
        count = self.count(folders)
        for folder in folders:
            del self.files[folder], self.parts[folder], self.levels[folder]
        return count

    def children(self) -> dict[tuple[str, ...], set[str]]:
        """The names of the folders in each folder, above pictures."""
        children = defaultdict(set)
        for name in self.names():
            for i, part in enumerate(name):
                children[name[:i]].add(part)
        return children

    def drop_annotations(self, found: Folders) -> None:
        """Removes masks and the like that stand beside a folder of images."""
        for parent, children in self.children().items():
            unwanted = {child for child in children if child.lower() in ANNOTATION_FOLDERS}
            if unwanted and any(child.lower() in IMAGE_FOLDERS for child in children):
                inside = [f for f in self.files if self.name(f)[: len(parent)] == parent]
                inside = [
                    f for f in inside if self.name(f)[len(parent) :][:1] and self.name(f)[len(parent)] in unwanted
                ]
                count = self.leave_out(inside)
                where = ", ".join("/".join((*parent, name)) + "/" for name in sorted(unwanted))
                found.findings.append(f"{counted(count, 'picture')} in {where}: annotations, which are not used")

    def drop_image_folders(self) -> None:
        """Removes a folder `images` that is alone in its folder: n01443537/images/1.jpg."""
        while alone := {
            parent
            for parent, children in self.children().items()
            if len(children) == 1 and next(iter(children)).lower() in IMAGE_FOLDERS
        }:
            for folder in self.files:
                name = self.name(folder)
                for level in reversed(range(len(name))):
                    if name[:level] in alone:
                        self.remove(folder, level)

    def strip_common_top(self) -> None:
        """Removes a folder around everything, unless it is called like a split."""
        while True:
            names = self.names()
            tops = {name[:1] for name in names}
            if len(tops) != 1 or tops == {()} or next(iter(tops))[0].lower() in SPLIT_NAMES:
                return
            for folder in self.files:
                self.remove(folder, 0)


# Splits ---------------------------------------------------------------------------------------------------------------


def split_of(name: str) -> tuple[str, str, tuple[str, ...]] | None:
    """What a folder's or file's name says about a split; None where it names none, or several.

    Returns:
        (the split, the word for it, the other words with "*" in its place): "seg_train" -> ("train", "train", ("seg",
        "*")). Folders that are splits of one set agree in the last.
    """
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    words = [word.lower() for word in words]
    named = [word for word in words if word in SPLIT_NAMES]
    if len(named) != 1:
        return None
    rest = tuple("*" if word in SPLIT_NAMES else word for word in words if word not in NEUTRAL)
    return SPLIT_NAMES[named[0]], named[0], rest


def _part_joined_names(tree: Tree, found: Folders) -> None:
    """Makes two levels of folders whose names join split and class: cat_train, cat_test, dog_train, dog_test."""
    tops = {name[0] for name in tree.names() if name}
    said = {top: split_of(top) for top in tops}
    if not tops or not all(said.values()):
        return
    splits_of = defaultdict(set)
    for split, _, rest in said.values():
        splits_of[rest].add(split)
    if len(splits_of) < 2 or ("*",) in splits_of or not all({"train"} < splits for splits in splits_of.values()):
        return
    found.class_findings.append(f"the names {_examples(tops)} were read as those of splits and classes")
    for folder in filter(tree.name, tree.files):
        place, *others = tree.levels[folder]
        parts = tree.parts[folder]
        _, word, _ = said[parts[place]]
        name = re.sub(word, "", parts[place], count=1, flags=re.IGNORECASE).strip(" -_.")
        tree.parts[folder] = (*parts[:place], word, name, *parts[place + 1 :])
        tree.levels[folder] = (place, place + 1, *(other + 1 for other in others))


def _find_splits(tree: Tree, found: Folders) -> tuple[int | None, dict[str, str], str | None]:
    """(the level of the split folders, their names -> split, a finding if it is ambiguous); level None: no splits."""
    depth = max(map(len, tree.names()), default=0)
    tops = {name[0] for name in tree.names() if name}
    splits = _splits_among(tops)
    roles = {split for split, _, _ in splits.values()}
    plain = all(rest == ("*",) for _, _, rest in splits.values())
    if (len(roles) > 1 and "train" in roles) or (tops and all(top.lower() in SPLIT_NAMES for top in tops)):
        return 0, _choose_words(splits, found), None
    for level in range(1, min(depth, 3)):
        deeper = _splits_in_classes(tree, level)
        if deeper:
            return level, _choose_words(deeper, found), None
    if "train" in roles and plain and _is_split(tree, splits, tops):
        others = shorten([f"{top}/" for top in sorted(tops - set(splits))])
        return (
            0,
            _choose_words(splits, found),
            (f"train/ was read as a split beside {others}; if it is a class, give --layout class"),
        )
    named = {top: split_of(top) for top in tops if top.lower() in SPLIT_NAMES}
    if named and len(tops) > 1:
        which = " and ".join(f"{top}/" for top in sorted(named))
        return (
            None,
            {},
            (
                f"{which} was read as a class, like the folders beside it; if it is a split, give --layout split"
                + ("/class" if depth > 1 else "")
            ),
        )
    return None, {}, None


def _splits_among(names: Iterable[str]) -> dict[str, tuple]:
    """Those names that are splits of one set, with what `split_of` says."""
    groups = defaultdict(dict)
    for name in names:
        if said := split_of(name):
            groups[said[2]][name] = said
    return max(groups.values(), key=lambda g: (len({s for s, _, _ in g.values()}), len(g)), default={})


def _splits_in_classes(tree: Tree, level: int) -> dict[str, tuple] | None:
    """The splits one or more levels below the top: cat/train/1.png."""
    children = defaultdict(set)
    beside = [folder for folder in tree.files if len(tree.name(folder)) <= level]
    if tree.count(folder for folder in beside if tree.name(folder)) > STRAY_SHARE * tree.count(tree.files):
        return None
    for name in tree.names():
        if len(name) > level:
            children[name[:level]].add(name[level])
    names = set().union(*children.values())
    splits = _splits_among(names)
    roles = {split for split, _, _ in splits.values()}
    trains = {name for name, (split, _, _) in splits.items() if split == "train"}
    plain = all(rest == ("*",) for _, _, rest in splits.values())
    if len(splits) == len(names) and plain and "train" in roles:
        return splits
    if len(roles) > 1 and trains and all(trains & inner for inner in children.values()):
        return splits
    return None


def _is_split(tree: Tree, splits: Mapping[str, tuple], tops: set[str]) -> bool:
    """Whether `train`, the only split among other folders, is one: it holds classes, and they do not hold others."""
    inner, direct = defaultdict(set), set()
    for name in tree.names():
        if len(name) == 1:
            direct.add(name[0])
        elif name:
            inner[name[0]].add(name[1])
    train = set().union(*(inner[top] for top in splits))
    if len(train) < 2 or direct & set(splits):
        return False
    others = [inner[top] for top in tops - set(splits)]
    return not all(others) or any(train & names for names in others)


def _choose_words(splits: Mapping[str, tuple], found: Folders) -> dict[str, str]:
    """Folder name -> split, one word for each split; a finding says which word counts where there are two."""
    words = [word for word in SPLIT_NAMES if any(word == said[1] for said in splits.values())]
    taken: dict[str, str] = {}
    for meaning in (SPLIT_NAMES, SECOND_CHOICE):
        for word in words:
            if word in meaning and word not in taken.values():
                taken.setdefault(meaning[word], word)
    meaning = {word: split for split, word in taken.items()}
    chosen = {name: meaning[word] for name, (_, word, _) in splits.items() if word in meaning}
    second = {n: s for n, s in chosen.items() if s != splits[n][0]}
    unused = sorted(set(splits) - set(chosen))
    for split in SPLIT_ORDER:
        names = sorted(name for name, s in chosen.items() if s == split)
        if len(names) > 1:
            found.findings.append(f"the folders {shorten(names)} together are the split {split}")
    if second or unused:
        said = "; ".join(f"{name}/ is the split {split}" for name, split in sorted(chosen.items()))
        left = f"; {shorten([f'{name}/' for name in unused])} is not used" if unused else ""
        found.findings.append(f"several folders are called like one split: {said}{left}")
    return chosen


def _place_in_splits(
    tree: Tree, level: int | None, splits: Mapping[str, str], found: Folders
) -> dict[str, dict[str, None]]:
    """Split -> its folders (the keys, in order); the level of the splits is removed from the tree."""
    if level is None:
        return {"train": dict.fromkeys(tree.files)}
    placed: dict[str, dict[str, None]] = {}
    unused = defaultdict(list)
    for folder in [*tree.files]:
        name = tree.name(folder)
        if len(name) <= level:
            unused[None].append(folder)
        elif name[level] not in splits:
            unused[name[level]].append(folder)
        else:
            split = splits[name[level]]
            placed.setdefault(split, {})[folder] = None
            if name[level] not in (names := found.split_folders.setdefault(split, [])):
                names.append(name[level])
            tree.remove(folder, level)
    loose = [path for folder in unused.pop(None, ()) for path in tree.files[folder]]
    if loose:
        found.skipped += [Skipped(path, "beside the folders of the splits") for path in loose]
        found.findings.append(
            f"{counted(len(loose), 'image')} beside the folders of the splits, left out: {shorten(sorted(loose), 3)}"
        )
    for name, folders in sorted(unused.items()):
        found.findings.append(
            f"{counted(tree.count(folders), 'image')} in {name}/, beside the folders of the splits, not used"
        )
    return placed


def _strip_split_wrappers(tree: Tree, split: str, folders: Iterable[str]) -> int:
    """Removes the split's name where it stands twice, seg_train/seg_train/cat; returns how many levels that were."""
    removed = 0
    while True:
        tops = {tree.name(folder)[:1] for folder in folders}
        said = split_of(next(iter(tops))[0]) if len(tops) == 1 and tops != {()} else None
        if not said or said[0] != split:
            return removed
        for folder in folders:
            tree.remove(folder, 0)
        removed += 1


# Classes --------------------------------------------------------------------------------------------------------------


def _find_classes(
    tree: Tree, placed: Mapping[str, Mapping], split_level: int | None, removed: int, found: Folders
) -> int | None:
    """The level of the class folders, without that of the splits; None: there are no classes.

    Args:
        removed: levels between splits and classes that were removed already.
    """
    everywhere = [folder for folders in placed.values() for folder in folders]
    while True:
        names = [(folder, tree.name(folder)) for folder in everywhere]
        deep = [(folder, name) for folder, name in names if name]
        loose = tree.count(folder for folder, name in names if not name and folder in placed.get("train", ()))
        tops = {name[0] for _, name in deep}
        single = len(tops) == 1 and all(len(name) > 1 for _, name in deep)
        if not single or loose > STRAY_SHARE * tree.count(everywhere):
            break
        for folder, _ in deep:
            tree.remove(folder, 0)
        removed += 1
    if not tops:
        return None
    if len(tops) == 1:
        inner = {name[1] for _, name in deep if len(name) > 1}
        if len(inner) > 1:
            found.class_findings.append(
                f"{counted(loose, 'image')} beside the single folder {next(iter(tops))}/: the folders in it "
                f"are not read as classes; if they are, give --layout {ANY}/class"
            )
        return None
    if all(len(name) == 1 for _, name in deep) and _are_pieces(tops, [path for f, _ in deep for path in tree.files[f]]):
        word = "split/class" if split_level is not None else "class"
        found.class_findings.append(
            f"the folders {_examples(tops)} were read as parts of one set, and not as classes; if they are classes, "
            f"give --layout {word}"
        )
        return None
    level, doubt = _class_level([name for _, name in deep])
    if doubt:
        words = [ANY] * (removed + 1 - level) + ["class"]
        if split_level is not None:
            words.insert(split_level, "split")
        other = "outer" if level else "inner"
        found.class_findings.append(f"{doubt}; if the {other} ones are the classes, give --layout {'/'.join(words)}")
    return level


def _class_level(names: Sequence[tuple[str, ...]]) -> tuple[int, str | None]:
    """The level of the class folders, and why it is in doubt."""
    inner = defaultdict(set)
    for name in names:
        inner[name[0]].update(name[1:2])
    below = Counter(child for children in inner.values() for child in children)
    if len(below) < 2:
        return 0, None
    if all(len(name) > 1 for name in names) and _are_parts(inner, below):
        return 1, f"the folders {_examples(below)} in {_examples(inner)} were read as classes, the outer ones not"
    return 0, f"the folders {_examples(inner)} were read as classes, those in them ({_examples(below)}) not"


def _are_parts(outer: Iterable[str], inner: Mapping[str, int]) -> bool:
    """Whether the inner folders are likelier to be classes than the outer ones.

    They are in batch1/cat, batch2/cat, and where the names of most stand in several outer folders: photo/cat,
    sketch/cat. They are not where they are numbered (cat/001, dog/001) or the outer ones are, by another word (s1/left,
    s2/left).

    Args:
        outer: the names of the outer folders.
        inner: the names of the inner folders -> in how many outer ones they stand.
    """
    stem = _common_stem(outer)
    if stem in BATCHES:
        return True
    repeated = sum(count > 1 for count in inner.values()) * 2 >= len(inner)
    return not stem and repeated and _common_stem(inner) is None


def _are_pieces(folders: Iterable[str], paths: Iterable[str]) -> bool:
    """Whether folders are parts of one set: part_1, part_2; or hold pictures by their numbers: 01000/01234.png.

    Args:
        folders: the names of all of them.
        paths: of the pictures in them.
    """
    folders = [*folders]
    if all(map(THOUSAND.fullmatch, folders)) and any(folder != folders[0] for folder in folders):
        numbers = [(path.rpartition("/")[0].rpartition("/")[2], re.search(r"(\d{4,})\D*$", path)) for path in paths]
        return all(match and int(folder) <= int(match[1]) < int(folder) + 1000 for folder, match in numbers)
    words = {re.sub(r"[\W_\d]+$|(?<=[\W_])[A-Za-z]$", "", name).lower() for name in folders}
    if len(words) != 1 or not all(re.search(r"\d$|[\W_][A-Za-z]$", name) for name in folders):
        return False
    return re.split(r"[\W_\d]+", words.pop().rstrip("_- "))[-1] in PIECES


def _common_stem(names: Iterable[str]) -> str | None:
    """What is left of numbered names without the numbers: batch1, batch2 -> "batch"; None where they differ."""
    stems = {re.sub(r"(?<=[\W_])[A-Za-z]$|[\W_\d]+", "", name).lower() for name in names}
    return stems.pop() if len(stems) == 1 else None


def _fill(tree: Tree, placed: Mapping[str, Mapping], class_level: int | None, found: Folders) -> None:
    for split, folders in placed.items():
        paths, classes = found.paths.setdefault(split, []), found.classes.setdefault(split, [])
        for folder in folders:
            levels = tree.levels[folder]
            name = None
            if class_level is not None and len(levels) > class_level:
                place = levels[class_level]
                name = class_name(tree.parts[folder][place])
                found.class_parents.add(tree.parts[folder][:place])
            paths += tree.files[folder]
            classes += [name] * len(tree.files[folder])


def _leave_out_unlabelled_splits(paths: dict, classes: dict, from_file: bool, findings: list[str]) -> None:
    """Removes splits, other than that for training, whose images have no class, or lie in one folder that train lacks.

    Args:
        from_file: the classes do not come from folders.
    """
    of_train = set(classes["train"]) - {None}
    for split in [s for s in paths if s != "train"]:
        names = set(classes[split]) - {None}
        if not names or (not from_file and len(names) == 1 and not names & of_train and len(of_train) > 1):
            findings.append(
                f"{split}: "
                + counted(len(paths[split]), "image has no label and is", "images have no label and are")
                + " not used"
                + (f" (all in the folder {next(iter(names))}/, which is no class of train)" if names else "")
                + "; give --layout split to read all splits without labels"
            )
            del paths[split], classes[split]


def _words_in_names(paths: Sequence[str]) -> list[str]:
    """The words that nearly all names begin with before a number, cat.1.jpg or dog_2.jpg, if these are two or more."""
    paths = paths[:: max(1, len(paths) // NAMES_LOOKED_AT)]
    matches = [re.match(r"([^\W\d_]+(?:[ _-][^\W\d_]+)*)[ _.(-]*\d", path.rpartition("/")[2]) for path in paths]
    words = Counter(match[1] for match in matches if match)
    good = [word for word, count in words.items() if count >= NAMED_ALIKE and word.lower() not in CAMERA_WORDS]
    if len(good) < 2 or sum(words[word] for word in good) < (1 - STRAY_SHARE) * len(paths):
        return []
    return sorted(good)


def _doubtful_classes(class_names: Sequence[str], labels: Mapping[str, Sequence[int]]) -> list[str]:
    findings, alike = [], defaultdict(list)
    for name in class_names:
        alike[" ".join(name.casefold().split())].append(name)
    for names in alike.values():
        if len(names) > 1:
            findings.append(
                f"classes {' and '.join(map(repr, names))} differ only in upper and lower case or in blanks: they are "
                "read as different classes; rename one if they are the same"
            )
    present = {split: set(numbers) for split, numbers in labels.items() if numbers}
    if len(present) > 1:
        for split, numbers in present.items():
            only = numbers.difference(*(other for s, other in present.items() if s != split))
            if only:
                which = shorten([class_names[number] for number in sorted(only)])
                findings.append(f"{counted(len(only), 'class')} only in the split {split}: {which}")
    sizes = Counter(number for numbers in labels.values() for number in numbers)
    single = sum(count == 1 for count in sizes.values())
    if len(class_names) >= CROWD and single * 2 > len(class_names):
        findings.append(
            f"{single} of {len(class_names)} classes have one image only; if they are no classes, give --layout "
            f"{ANY}, which reads the images without labels"
        )
    return findings


# Words ----------------------------------------------------------------------------------------------------------------


def class_name(name: str) -> str:
    """A class's name in one Unicode form (NFC): that of macOS is another."""
    return unicodedata.normalize("NFC", name)


def shorten(names: Sequence[str], shown: int = SHOWN) -> str:
    """The names with commas between them, the first ten of many."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _describe_classes(class_names: Sequence[str]) -> str:
    """ "3 classes: bus, train, truck"."""
    return f"{counted(len(class_names), 'class')}: {shorten(class_names)}" if class_names else "no classes"


def _describe_splits(paths: Mapping[str, Sequence], folders: Mapping[str, Sequence[str]]) -> str:
    if not folders:
        return "none"
    said = []
    for split in sorted(paths, key=("train", "validation", "test").index):
        names = [name for name in folders.get(split, ()) if name != split]
        said.append(split + (f" ({', '.join(sorted(names))})" if names else ""))
    return ", ".join(said)


def _examples(names: Iterable[str]) -> str:
    return shorten([f"{name}/" for name in sorted(names)], 3)


def _parts(folder: str) -> tuple[str, ...]:
    return tuple(part for part in folder.split("/") if part not in ("", "."))


def _path_hash(path: str) -> bytes:
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()

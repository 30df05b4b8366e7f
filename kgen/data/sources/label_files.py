"""Labels in a file beside the images: a table (.csv, .tsv, .txt), JSON lines, or the dataset.json of StyleGAN.

`add_labels` decides whose labels count: those of `--labels FILE`, else of the class folders, else of the files of
labels that are found. A file that is found and not used is named in a finding. `read_rows` reads any of the formats as
rows of text; which column names the images is found by looking the values up among the pictures.
"""

import csv
import io
import json
import posixpath
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from kgen.data.sources.base import WHOLE_NUMBER
from kgen.data.sources.files import FolderFiles
from kgen.data.sources.layout import SPLIT_NAMES, Folders, class_name, shorten, split_of
from kgen.data.sources.picture import Unreadable, picture_suffixes
from kgen.errors import UserError
from kgen.tables import counted

SUFFIX = re.compile(r"\.(csv|tsv|txt|jsonl|ndjson|json)", re.IGNORECASE)
"""Of a file, before the colon and the column."""
NONE = "none"
"""The value of `DataConfig.labels` that reads no file of labels."""
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|", ".txt": "\t,;| "}
LABEL_WORDS = ("label", "annotation", "metadata", "attr")
"""A .txt or .json file whose name holds one of these may hold labels."""
OTHER_WORDS = ("submission", "partition", "bbox", "landmark")
"""A file whose name holds one of these holds other things than labels."""
NAME_FILES = ("classes.txt", "class_names.txt", "names.txt", "categories.txt", "class_labels.txt", "labels.txt")
IMAGE_COLUMNS = (
    *("file_name", "filename", "fname", "file", "path", "filepath", "filepaths", "file_path", "image_path", "img_path"),
    *("image_name", "img_name", "image", "img", "image_id", "imageid", "id", "name"),
)
"""Headers of a column that names images, the likelier ones first."""
LABEL_COLUMNS = {
    *("label", "labels", "class", "classes", "class_name", "classname", "class_id", "classid", "class_label", "y"),
    *("category", "category_id", "category_name", "label_id", "label_name", "target"),
}
SPLIT_COLUMNS = {"split", "set", "subset", "partition", "usage", "data_set", "phase"}
OTHER_SPLIT_COLUMNS = {"fold", "is_train", "is_test", "is_valid", "is_val", "is_validation", "train", "test"}
"""Headers of columns that say something of splits and are not read."""
MISSING = {"nan", "<na>", "#n/a", "n/a", "null"}
"""What programs write for nothing, in lower case."""
MAYBE_MISSING = {"none", "na"}
"""What may be written for nothing, and may be a class."""
FOLDER_OF_1000 = re.compile(r"[0-9]{5}")
"""Name of a folder that the tool of StyleGAN fills with a thousand images; it is no class."""
MAX_FILES = 16
"""Files of labels that are looked into; more are annotations of single images."""
MAX_BYTES = 2**28
SAMPLE = 200
"""Rows by which the columns are found."""
MANY = 10
"""Lines that would share labels if they had any."""
LEAST_SHARE = 0.5
"""Of the training images that a file must label to be used without being asked for."""
HOW = 'two columns with a header, for example "file_name,label"'


class NoLabels(ValueError):
    """A file that holds no labels of these images; the message is the reason."""


class SeveralColumns(NoLabels):
    """A file of which several columns may hold the labels; the message says how to name one."""


class Contradiction(ValueError):
    """A file that gives one image two labels; the message names them."""


@dataclass(frozen=True)
class LabelTable:
    """The labels in a file.

    Attributes:
        name: of the file.
        column: what its labels are, in words.
        labels: path of a picture -> the name of its class.
        splits: path of a picture -> its split; empty when the file has none.
        findings: lines that are not used.
        names_file: the file of the names that its numbers stand for; "" where there is none.
    """

    name: str
    column: str
    labels: dict[str, str]
    splits: dict[str, str]
    findings: Sequence[str]
    names_file: str


def add_labels(folders: Folders, files: FolderFiles, labels: str | None) -> None:
    """Gives the pictures of a data set the classes, and splits, that files of labels name.

    Args:
        folders: changed in place.
        files: of the data set.
        labels: see `DataConfig`.

    Raises:
        UserError: `labels` names no file, or one that cannot be understood; or a file contradicts itself.
    """
    candidates = folders.label_files = [name for name in files.other_names if _may_hold_labels(name)]
    if any(posixpath.basename(name) == "dataset.json" for name in candidates):
        classes = set().union(*folders.classes.values()) - {None}
        if all(map(FOLDER_OF_1000.fullmatch, classes)):
            _forget_classes(folders)
    if labels == NONE:
        if candidates:
            folders.findings.append(f"{shorten(candidates, 5)} is not read: labels={NONE!r}")
        return
    if labels is not None:
        name, where, content, column = _named_file(files, labels)
        _forget_classes(folders)
        try:
            table = read_label_table(name, content, PathIndex(folders.paths, files.path), where, files, column)
        except (SeveralColumns, Contradiction) as error:
            raise UserError(f"data.labels={labels!r}: {error}") from error
        except NoLabels as error:
            raise UserError(f"data.labels={labels!r}: {error}; write a file of {HOW}") from error
        _use(folders, [table])
        _name_ignored([other for other in candidates if other != name], folders, "--labels gives another file")
        return
    if len(candidates) > MAX_FILES:
        _name_ignored(candidates, folders, f"there are more than {MAX_FILES} such files")
        return
    missing = {
        split: [path for path, name in zip(paths, folders.classes[split], strict=True) if name is None]
        for split, paths in folders.paths.items()
    } if candidates else {}  # fmt: skip
    if folders.labelled:
        missing.pop("train", None)
    if not any(missing.values()):
        _name_ignored(candidates, folders, "the class folders give the labels")
        return
    index, tables, unread = PathIndex(folders.paths, files.path), [], {}
    for name in candidates:
        try:
            content = _read(files, name)
            tables.append(read_label_table(name, content, index, posixpath.dirname(name), files))
        except (NoLabels, Unreadable, OSError) as error:
            unread[name] = error
        except Contradiction as error:
            raise UserError(
                f"{name} in {files.path}: {error}. Correct it, or leave it out with --labels {NONE}"
            ) from error
    for name, error in unread.items():
        if name not in (table.names_file for table in tables):
            folders.findings.append(f"{name} is not used for labels: {error}")
    tables = _without_rivals(tables, folders)
    if tables and folders.labelled:
        known = set().union(*folders.classes.values())
        wanted = set().union(*missing.values())
        tables = [replace(t, labels={p: x for p, x in t.labels.items() if p in wanted}) for t in tables]
        unused = [t.name for t in tables if not t.labels or not set(t.labels.values()) <= known]
        _name_ignored(unused, folders, "the class folders give the labels")
        tables = [table for table in tables if table.name not in unused]
    elif tables:
        train = missing.get("train", [])
        covered = sum(path in table.labels for path in train for table in tables)
        if covered < LEAST_SHARE * len(train):
            names = shorten([table.name for table in tables])
            folders.findings.append(
                f"{names} labels {covered} of {len(train)} training images and is not used; --labels {names} takes "
                "these images alone"
            )
            tables = []
    _use(folders, tables)


def _forget_classes(folders: Folders) -> None:
    """Removes the classes that the folders give."""
    folders.class_findings.clear()
    folders.class_parents.clear()
    folders.classes = {split: [None] * len(paths) for split, paths in folders.paths.items()}


def read_rows(name: str, content: bytes) -> Iterator[list[list[str]]]:
    """The rows of a file of labels, as text; of a table once for each delimiter that gives it two columns.

    Args:
        name: of the file; its suffix says the format.

    Raises:
        NoLabels: the file is not of its format.
    """
    text, suffix = _decode(content), PurePosixPath(name).suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        try:
            yield _rows_of_objects([json.loads(line) for line in text.splitlines() if line.strip()])
        except ValueError as error:
            raise error if isinstance(error, NoLabels) else NoLabels(f"it is no file of JSON lines: {error}") from error
    elif suffix == ".json":
        try:
            yield _rows_of_json(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise error if isinstance(error, NoLabels) else NoLabels(f"it is no JSON: {error}") from error
    else:
        text, delimiters = _without_preamble(text, DELIMITERS.get(suffix, DELIMITERS[".txt"]))
        for delimiter in delimiters:
            try:
                rows = [row for row in _split_lines(text, delimiter) if any(cell.strip() for cell in row)]
            except csv.Error as error:
                raise NoLabels(f"it is no table: {error}") from error
            if rows and max(map(len, rows[:SAMPLE])) > 1:
                yield rows


def read_label_table(
    name: str, content: bytes, index: "PathIndex", where: str, files: FolderFiles, label_column: str = ""
) -> LabelTable:
    """The labels that a file gives to pictures.

    Args:
        name, content: of the file.
        index: of the pictures.
        where: the folder of the file, relative to the data set, "" when it lies outside.
        files: of the data set; names of classes are looked for beside the file of labels.
        label_column: header of the column of labels; "" finds it.

    Raises:
        NoLabels: no column names images, or none or several hold labels.
        Contradiction: one image has two labels.
    """
    said = split_of(PurePosixPath(name).stem)
    split = said[0] if said else None
    for rows in read_rows(name, content):
        column, matched = _image_column(rows, index, where, split)
        if column is not None:
            break
    else:
        first = _decode(content[:1000]).strip().split("\n")[0][:80]
        raise NoLabels(f"none of its columns names images of the data set; its first line is {first!r}")
    titles = None
    if matched[0] is None and any(path is not None for path in matched):
        titles, rows, matched = [cell.strip() for cell in rows[0]], rows[1:], matched[1:]
    width = max(map(len, rows))
    columns = [[_cell(row[i]) if i < len(row) else "" for row in rows] for i in range(width)]
    if titles is not None:
        titles += [f"column {i + 1}" for i in range(len(titles), width)]
    header = None if titles is None else [_header(title) for title in titles]
    splits, split_column = _split_column(columns, header)
    if label_column and titles is None:
        label_column = f"column {label_column.lower().removeprefix('column').strip()}"
    names = titles or [f"column {i + 1}" for i in range(width)]
    if label_column and _header(label_column) not in map(_header, names):
        raise NoLabels(f"it has no column {label_column!r}; its columns are {shorten(names)}")
    values, described = _label_values(name, columns, names, header, {column, split_column}, _header(label_column))
    values, names_file = _as_names(values, name, files)
    labels: dict[str, str] = {}
    found_splits: dict[str, str] = {}
    for i, (path, value) in enumerate(zip(matched, values, strict=True)):
        if path is None or value is None:
            continue
        if labels.setdefault(path, value) != value:
            boxes = header and sum(h.startswith(("xmin", "ymin", "xmax", "ymax", "bbox")) for h in header) > 1
            text = f"{path} has the label {labels[path]!r} in one line and {value!r} in another"
            raise NoLabels(f"it holds boxes of objects ({text})") if boxes else Contradiction(text)
        if splits and splits[i]:
            found_splits[path] = splits[i]
    if not labels:
        raise NoLabels("its label column is empty for all images of the data set")
    unused = [*_unused_lines(name, matched, columns[column], index), *_doubts(name, labels, values)]
    for i, title in enumerate(header or ()):
        other = title in SPLIT_COLUMNS | OTHER_SPLIT_COLUMNS and i not in (column, split_column)
        if other and described != f"column {names[i]}":
            unused.append(
                f"column {names[i]} of {name}, which says {shorten(sorted(set(columns[i])), 4)}, is not read: splits "
                "are those of a column split that says train, validation or test"
            )
    return LabelTable(name, described, labels, found_splits, unused, names_file)


# Pictures by what a file calls them -----------------------------------------------------------------------------------


class PathIndex:
    """Finds pictures by what a file of labels calls them: with or without folders and suffix.

    Args:
        paths: split -> pictures.
        root: of the data set; None for paths in lower case.
    """

    def __init__(self, paths: Mapping[str, Sequence[str]], root: Path | None):
        self._suffixes = tuple(picture_suffixes())
        self.root_name = "" if root is None else root.resolve().name
        self.several: set[str] = set()
        self._by_stem: dict[str, str | list[str]] = {}
        self._split = {}
        self._paths, self._root, self._lower = paths, root, None
        for split, group in paths.items():
            for path in group:
                stem = _without_suffix(path.rpartition("/")[2])
                known = self._by_stem.setdefault(stem, path)
                if known is not path:
                    self._by_stem[stem] = [*known, path] if isinstance(known, list) else [known, path]
                if len(paths) > 1:
                    self._split[path] = split

    def find_all(self, values: Sequence[str], where: str, split: str | None) -> list[str | None]:
        """The picture that each value names, None where there is none or several.

        Args:
            values: paths with either kind of slash, names, or names without a suffix.
            where: the folder that paths may be relative to.
            split: that of the pictures, when several have one name.
        """
        found, longer = [], defaultdict(list)
        for i, value in enumerate(values):
            path, above = self._find(value, where, split)
            found.append(path)
            if above is not None:
                longer[above].append(i)
        if len(longer) > 1:  # "train/1.png" and "test/1.png" cannot both be the picture 1.png
            for above, places in longer.items():
                if above.rpartition("/")[2] != self.root_name:
                    for i in places:
                        found[i] = None
        if not any(found):  # paths of another machine
            paths = {_clean(value) for value in values}
            names = {path.rpartition("/")[2] for path in paths}
            if len(names) == len(paths) and not any(
                part.lower() in SPLIT_NAMES for p in paths for part in p.split("/")
            ):
                found = [self._find(_clean(value).rpartition("/")[2], "", split)[0] for value in values]
        if not any(found) and self._root is not None:  # names of Windows, in another case
            found = self._find_in_any_case(values, where, split)
        return found

    def _find_in_any_case(self, values: Sequence[str], where: str, split: str | None) -> list[str | None]:
        if self._lower is None:
            lower: dict[str, str | None] = {}
            for path in (path for group in self._paths.values() for path in group):
                lower[path.lower()] = None if path.lower() in lower else path
            paths = {s: [path.lower() for path in group if lower[path.lower()]] for s, group in self._paths.items()}
            self._lower = lower, PathIndex(paths, None)
        lower, index = self._lower
        index.root_name = self.root_name
        found = index.find_all([value.lower() for value in values], where.lower(), split)
        return [None if path is None else lower[path] for path in found]

    def _find(self, value: str, where: str, split: str | None) -> tuple[str | None, str | None]:
        """(the picture, the folders that the value names above the data set; None where it does not)."""
        value = _clean(value)
        name = value.rpartition("/")[2]
        candidates = []
        has_suffix = name.lower().endswith(self._suffixes)
        for stem in {name, _without_suffix(name) if has_suffix else name}:
            known = self._by_stem.get(stem, ())
            candidates += [known] if isinstance(known, str) else known
        if not candidates:
            return None, None
        short = _without_suffix(value) if has_suffix else value
        here = posixpath.normpath(posixpath.join(where, value))
        here_short = posixpath.normpath(posixpath.join(where, short))
        tiers: tuple[list, ...] = ([], [], [], [])
        for path in candidates:
            path_short = _without_suffix(path)
            if path == here:
                tiers[0].append(path)
            elif path_short == here_short or path == value:
                tiers[1].append(path)
            elif f"/{path}".endswith(f"/{value}") or f"/{path_short}".endswith(f"/{short}"):
                tiers[2].append(path)
            elif f"/{short}".endswith(f"/{path_short}"):
                tiers[3].append(path)
        chosen = next(filter(None, tiers), [])
        above = chosen is tiers[3]
        if len(chosen) > 1:
            chosen = [path for path in chosen if split is not None and self._split.get(path) == split] or chosen
        if len(chosen) > 1:
            self.several.add(value)
        if len(chosen) != 1:
            return None, None
        return chosen[0], short[: -len(_without_suffix(chosen[0])) - 1] if above else None


def _clean(value: str) -> str:
    value = value.strip().replace("\\", "/")
    return value.removeprefix("./").lstrip("/")


def _without_suffix(path: str) -> str:
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and stem and "/" not in suffix else path


# Columns --------------------------------------------------------------------------------------------------------------


def _image_column(rows: list[list[str]], index: PathIndex, where: str, split: str | None):
    """(the column that names images, the picture of each row); (None, []) where no column does."""
    width = max(map(len, rows[:SAMPLE]))
    header = [_header(cell) for cell in rows[0]]
    for sample in (rows[:SAMPLE], rows) if len(rows) > SAMPLE else (rows,):
        scores = []
        for i in range(width):
            found = index.find_all([row[i] if i < len(row) else "" for row in sample], where, split)
            matches = sum(path is not None for path in found)
            known = i < len(header) and header[i] in IMAGE_COLUMNS
            rank = IMAGE_COLUMNS.index(header[i]) if known else len(IMAGE_COLUMNS)
            scores.append((matches > 0, matches * 2 >= len(sample), -rank, len(set(found) - {None}), -i))
        best = max(scores)
        if best[0]:
            column = -best[-1]
            index.several.clear()
            return column, index.find_all([row[column] if column < len(row) else "" for row in rows], where, split)
    return None, []


def _split_column(columns: list[list[str]], header: list[str] | None) -> tuple[list[str | None] | None, int | None]:
    """(the split of each row, the column); None where there is no such column."""
    for i, name in enumerate(header or ()):
        if name in SPLIT_COLUMNS and i < len(columns):
            meaning = {value: split_of(value) for value in set(columns[i])}
            if all(said and said[2] == ("*",) for value, said in meaning.items() if value) and any(meaning.values()):
                return [meaning[value][0] if value else None for value in columns[i]], i
    return None, None


def _label_values(
    file: str, columns: list[list[str]], names: list[str], header: list[str] | None, other: set, wanted: str
) -> tuple[list[str | None], str]:
    """(the label of each row, None where there is none; which column that is).

    Args:
        file: the name of the file.
        columns: of the table.
        names: of the columns, as they stand in the file, or by their numbers.
        header: the names as they are compared; None where the file has none.
        other: columns that hold no labels.
        wanted: the column of labels, as it is compared; "" finds it.
    """
    left = [i for i in range(len(columns)) if i not in other and any(columns[i])]
    known = [*map(_header, names)]
    if header and not wanted:
        left = [i for i in left if known[i] not in ("", "unnamed:_0", "index")]
    chosen = [i for i in left if (known[i] == wanted if wanted else known[i] in LABEL_COLUMNS)]
    if wanted and not chosen:
        raise NoLabels(f"its column {names[known.index(wanted)]} holds no labels")
    if not chosen and header and len(left) > 1 and (hot := _one_hot(columns, left, names)):
        return hot, f"{len(left)} columns of 0 and 1"
    chosen = chosen or left
    if not chosen:
        raise NoLabels(f"it has no column of labels; its columns are {shorten(names)}")
    if len(chosen) > 1 and len({tuple(_ranks(columns[i])) for i in chosen}) == 1:
        chosen = [i for i in chosen if not _are_numbers(columns[i])][:1] or chosen[:1]
    if len(chosen) > 1 and not header:
        words = [i for i in chosen if not _are_numbers(columns[i])]
        chosen = words if len(words) == 1 else chosen
    if len(chosen) > 1:
        if len({names[i] for i in chosen}) == 1:
            raise NoLabels(f"{len(chosen)} of its columns are called {names[chosen[0]]}; rename them")
        raise SeveralColumns(
            f"several of its columns may hold labels: {shorten([names[i] for i in chosen])}; "
            f"name one, --labels {shlex.quote(f'{file}:{names[chosen[0]]}')}"
        )
    values = columns[chosen[0]]
    if _are_numbers(values):
        floats = [float(value) if value else None for value in values]
        if any(value is not None and value != int(value) for value in floats):
            raise NoLabels(f"its column {names[chosen[0]]} holds fractions and no labels")
        if not all(WHOLE_NUMBER.fullmatch(value) for value in values if value):
            values = ["" if value is None else str(int(value)) for value in floats]
    distinct = {value for value in values if value}
    rows = sum(map(bool, values))
    if len(distinct) == rows >= MANY:
        raise NoLabels(f"its column {names[chosen[0]]} differs for every image, so that it holds no labels")
    return [
        class_name(value) if value else None for value in values
    ], f"column {names[chosen[0]].removeprefix('column ')}"


def _one_hot(columns: list[list[str]], left: list[int], names: list[str]) -> list[str | None] | None:
    """The name of the column that is 1, for each row; None if the columns are not 0 and 1, one 1 in each row."""
    try:
        if any(float(value) not in (0, 1) for i in left for value in set(columns[i])):
            return None
    except ValueError:
        return None
    ones = [[i for i in left if float(columns[i][row]) == 1] for row in range(len(columns[0]))]
    if any(len(row) != 1 for row in ones):
        several = sum(len(row) != 1 for row in ones)
        raise NoLabels(
            counted(several, "row has", "rows have") + f" no label or several: {shorten([names[i] for i in left])}"
        )
    return [class_name(names[row[0]]) for row in ones]


def _ranks(values: Sequence[str]) -> Iterator[int]:
    """Numbers in the order in which values come first: equal for columns that say the same in other words."""
    seen: dict[str, int] = {}
    return (seen.setdefault(value, len(seen)) for value in values)


def _are_numbers(values: Iterable[str]) -> bool:
    try:
        return all(abs(float(value)) < float("inf") for value in set(values) if value)
    except ValueError:
        return False


def _as_names(values: list[str | None], name: str, files: FolderFiles) -> tuple[list[str | None], str]:
    """Labels that are numbers become names where a file of names, one in each line, lies in the data set.

    Returns:
        The labels, and the name of that file, "" where there is none.
    """
    known = {value for value in values if value is not None}
    if not known or not all(map(WHOLE_NUMBER.fullmatch, known)):
        return values, ""
    numbers = {int(value) for value in known}
    for other in files.other_names:
        if posixpath.basename(other).lower() not in NAME_FILES or other == name:
            continue
        try:
            names = name_table(_read(files, other), numbers)
        except (NoLabels, Unreadable, OSError):
            continue
        if names:
            return [None if value is None else class_name(names[int(value)]) for value in values], other
    return values, ""


def name_table(content: bytes, numbers: set[int]) -> dict[int, str] | None:
    """Number -> name of a file of class names, one in each line, with or without its number in front.

    Args:
        content: of the file.
        numbers: of the classes that have to be in it.

    Returns:
        None where one of them is not, or two have one name.
    """
    lines = [line.strip() for line in _decode(content).splitlines() if line.strip()]
    numbered = [line.split(None, 1) for line in lines]
    if all(len(words) == 2 and WHOLE_NUMBER.fullmatch(words[0]) for words in numbered):
        names = {int(words[0]): words[1] for words in numbered}
    else:
        first = 1 if min(numbers) == 1 and max(numbers) == len(lines) else 0
        names = dict(enumerate(lines, first))
    return names if numbers <= set(names) and len(set(names.values())) == len(names) else None


def _cell(text: str) -> str:
    """A cell without blanks around it; what programs write for nothing is nothing."""
    text = text.strip()
    return "" if text.lower() in MISSING else text


def _header(cell: str) -> str:
    return cell.strip().lower().replace(" ", "_").replace("-", "_")


# Files ----------------------------------------------------------------------------------------------------------------


def _may_hold_labels(name: str) -> bool:
    stem, dot, suffix = name.rpartition("/")[2].lower().rpartition(".")
    suffix = dot + suffix
    if suffix not in (*TABLES, ".json", ".txt") or any(word in stem for word in OTHER_WORDS):
        return False
    if any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
        return False
    if suffix == ".json":
        return stem == "dataset" or any(word in stem for word in LABEL_WORDS)
    if suffix == ".txt":
        return any(word in stem for word in LABEL_WORDS) or split_of(stem) is not None
    return suffix in TABLES


def _named_file(files: FolderFiles, labels: str) -> tuple[str, str, bytes, str]:
    """(name, folder relative to the data set, content, column or "") of the file that `labels` names.

    It is FILE or FILE:COLUMN, relative to the current folder, or to the data set; also a file in the archive.
    """
    file_name, _, column = labels.rpartition(":")
    if not SUFFIX.fullmatch(PurePosixPath(file_name).suffix):
        file_name, column = labels, ""
    path = Path(file_name).expanduser()
    wanted = _clean(file_name)
    if path.is_file() and path.resolve().is_relative_to(root := files.path.resolve()):
        wanted = path.resolve().relative_to(root).as_posix()
    inside = [name for name in files.other_names if name == wanted]
    inside = inside or [name for name in files.other_names if name.endswith(f"/{wanted}")]
    try:
        if path.is_file() and wanted not in inside:
            with open(path, "rb") as file:
                name, where, content = str(path), "", file.read(MAX_BYTES + 1)
        elif len(inside) == 1:
            name, where, content = inside[0], posixpath.dirname(inside[0]), _read(files, inside[0])
        else:
            found = [name for name in files.other_names if _may_hold_labels(name)]
            raise UserError(
                f"data.labels={labels!r} is no file, neither in {Path.cwd()} nor {'once ' if inside else ''}in "
                f"{files.path}" + (f", which holds {shorten(found, 5)}" if found else "")
            )
    except (Unreadable, OSError) as error:
        raise UserError(f"data.labels={labels!r} cannot be read: {error}") from error
    if PurePosixPath(name).suffix.lower() in (".npy", ".npz", ".mat"):
        raise UserError(
            f"data.labels={labels!r} holds labels without the names of images, and {files.path} has no order that they "
            f"could follow; write a file of {HOW}"
        )
    return name, where, content, column


def _read(files: FolderFiles, name: str) -> bytes:
    with files.open(name) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Unreadable(f"it is larger than {MAX_BYTES >> 20} MiB")
    return content


def _decode(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _without_preamble(text: str, delimiters: str) -> tuple[str, str]:
    """(the table without what some programs write above it, the delimiters that it may have).

    That is "sep=;" (Excel), comments, or the number of lines (CelebA).
    """
    said = re.match(r"sep=(.)\r?\n", text)
    if said:
        text, delimiters = text[said.end() :], said[1]
    first, _, rest = text.partition("\n")
    while first.startswith("#") and rest:
        text = rest
        first, _, rest = text.partition("\n")
    if first.strip().isdecimal() and len(rest.splitlines()) - int(first) in (0, 1):
        text = rest
    return text, delimiters


def _split_lines(text: str, delimiter: str) -> Iterator[list[str]]:
    if delimiter != " ":
        return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    lines = [line for line in text.splitlines() if line.strip()]
    first, words = len(lines[0].split()) if lines else 0, {len(line.split()) for line in lines[1:]}
    if words == {first + 1}:  # the names of images have no header
        lines[0] = f"{IMAGE_COLUMNS[0]} {lines[0]}"
    words.add(len(lines[0].split()) if lines else 0)
    return (line.split() if len(words) == 1 else line.rsplit(None, 1) for line in lines)


def _rows_of_objects(objects: list) -> list[list[str]]:
    """JSON objects as rows under a header; what is no text, number or truth value is left out."""
    if not objects or not all(isinstance(value, dict) for value in objects):
        raise NoLabels("its lines are no JSON objects")
    keys = dict.fromkeys(k for o in objects for k, v in o.items() if isinstance(v, str | int | float))
    nested = {k for k, v in objects[0].items() if isinstance(v, dict | list)} & LABEL_COLUMNS
    if nested and not LABEL_COLUMNS & keys.keys():
        raise NoLabels(f"its {shorten(sorted(nested))} are lists or objects, not one class for each image")
    return [[*keys], *([_text(o.get(key)) for key in keys] for o in objects)]


def _rows_of_json(value) -> list[list[str]]:
    if isinstance(value, dict) and {"images", "annotations"} <= set(value):
        raise NoLabels("it holds annotations of objects (COCO)")
    if isinstance(value, dict) and "labels" in value:
        value = value["labels"]
        if value is None:
            raise NoLabels("its labels are null")
    if isinstance(value, dict):
        value = [*value.items()]
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return _rows_of_objects(value)
    if not isinstance(value, list) or not all(isinstance(item, list | tuple) and len(item) == 2 for item in value):
        raise NoLabels('it is not {"labels": [[file name, label], ...]}')
    if not all(label is None or isinstance(label, str | int | float) for _, label in value):
        raise NoLabels("its labels are lists, not one class for each image")
    return [["file_name", "label"], *([str(name), _text(label)] for name, label in value)]


def _text(value) -> str:
    return "" if value is None or isinstance(value, dict | list) else str(value)


# What becomes of the tables -------------------------------------------------------------------------------------------


def _use(folders: Folders, tables: Sequence[LabelTable]) -> None:
    """Enters the labels of the tables, and their splits where the folders have none."""
    if not tables:
        return
    labels = {path: name for table in tables for path, name in table.labels.items()}
    splits = {path: split for table in tables for path, split in table.splits.items()}
    if not splits and len(tables) > 1:
        roles = {table.name: split_of(PurePosixPath(table.name).stem) for table in tables}
        if all(roles.values()) and len({role[0] for role in roles.values()}) == len(tables):
            splits = {path: roles[table.name][0] for table in tables for path in table.labels}
    from_folders = bool(folders.split_folders)
    for split in [*folders.paths]:
        paths, classes = folders.paths[split], folders.classes[split]
        folders.classes[split] = [labels.get(path, name) for path, name in zip(paths, classes, strict=True)]
    if splits and not from_folders and "train" in splits.values():
        paths, classes = folders.paths.pop("train", []), folders.classes.pop("train", [])
        for path, name in zip(paths, classes, strict=True):
            split = splits.get(path, "train")
            folders.paths.setdefault(split, []).append(path)
            folders.classes.setdefault(split, []).append(name)
            folders.split_folders.setdefault(split, [split])
    folders.labels_from = {table.name: f"{table.name} ({table.column})" for table in tables}
    folders.labels_from |= {table.names_file: f"names from {table.names_file}" for table in tables if table.names_file}
    folders.stray = f"has no line in {shorten([table.name for table in tables])}"
    for table in tables:
        folders.findings += table.findings
    distinct = set().union(*folders.classes.values()) - {None}
    if len(distinct) == 1:
        names = shorten([table.name for table in tables])
        folders.findings.append(f"all images have the label {distinct.pop()!r} in {names}: one label makes no classes")


def _without_rivals(tables: list[LabelTable], folders: Folders) -> list[LabelTable]:
    """The tables that no other one contradicts; a finding names the others."""
    rivals = set()
    for i, one in enumerate(tables):
        for other in tables[i + 1 :]:
            if any(other.labels.get(path, name) != name for path, name in one.labels.items()):
                rivals |= {one.name, other.name}
    if rivals:
        names = sorted(rivals)
        folders.findings.append(
            f"{shorten(names)} label the same images, and none of them is used; --labels {names[0]} chooses one"
        )
    return [table for table in tables if table.name not in rivals]


def _name_ignored(names: Sequence[str], folders: Folders, why: str) -> None:
    """A finding that names the files of labels that are not used."""
    if names:
        are, file, which = ("is", shlex.quote(names[0]), "it") if len(names) == 1 else ("are", "FILE", "one of them")
        folders.findings.append(
            f"{shorten(names, 5)} {are} not read for labels: {why}; --labels {file} takes {which} instead"
        )


def _doubts(name: str, labels: Mapping[str, str], values: Iterable[str | None]) -> Iterator[str]:
    """What is strange about the classes of a file."""
    for value in sorted(v for v in set(values) - {None} if v.lower() in MAYBE_MISSING):
        count = sum(label == value for label in labels.values())
        yield (
            f"{name} gives {counted(count, 'image')} the label {value!r}, which is read as a class; leave the cell "
            "empty where an image has no label"
        )


def _unused_lines(name: str, matched: list, values: list[str], index: PathIndex) -> tuple[str, ...]:
    several = [value for value, path in zip(values, matched, strict=True) if path is None and value in index.several]
    absent = [v for v, path in zip(values, matched, strict=True) if path is None and v and v not in index.several]
    findings = []
    if several:
        findings.append(
            counted(len(several), f"line of {name} names", f"lines of {name} name")
            + f" several images each: {shorten(several, 3)}"
        )
    if absent:
        findings.append(
            counted(len(absent), f"line of {name} names", f"lines of {name} name") + f" no image: {shorten(absent, 3)}"
        )
    return tuple(findings)

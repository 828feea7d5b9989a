"""The user's own files: found, carried, loaded under private names, and blamed by file and line."""

import importlib
import pickle
import sys
import textwrap

import pytest

from workers.code_snapshot import parse_reference
from workers.errors import UserCodeError
from workers.user_code import CodeSnapshot, fingerprint, load_object, refuse_shadowing, snapshot_code


def write(folder, **files):
    for name, text in files.items():
        path = folder / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def load(folder, reference):
    return load_object(reference, snapshot_code(folder, reference))


@pytest.fixture
def job(tmp_path):
    return write(
        tmp_path,
        model="""
            import json
            import os.path
            import layers
            from nets.blocks import block
            class Net:
                width = layers.WIDTH + block()
                def late(self):
                    import lately
                    return lately.VALUE
                class Inner:
                    pass
            """,
        layers="from settings import WIDTH\n",
        settings="WIDTH = 3\n",
        lately="VALUE = 'late'\n",
        unrelated="raise RuntimeError\n",
        nets__in____init__="",
        nets__in__blocks="from . import sizes\nfrom .sizes import BLOCK\ndef block(): return BLOCK + sizes.BLOCK\n",
        nets__in__sizes="BLOCK = 10\n",
    )


def test_a_snapshot_holds_the_file_and_all_it_imports_from_beside_it_and_nothing_else(job):
    names = [name for name, _ in snapshot_code(job, "model.py:Net").files]
    assert names[0] == "model.py"
    assert names[1:] == sorted(
        ["lately.py", "layers.py", "nets/__init__.py", "nets/blocks.py", "nets/sizes.py", "settings.py"]
    )


def test_siblings_and_packages_are_importable_by_the_user_s_code_alone_even_late(job):
    path_before = list(sys.path)
    net = load(job, "model.py:Net")
    assert net.width == 3 + 20
    assert net().late() == "late"
    assert sys.path == path_before
    for name in ("layers", "settings", "lately", "nets", "model"):
        assert name not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("settings")


def test_a_snapshot_loads_where_its_folder_does_not_exist_and_its_errors_still_show_the_line(job, tmp_path):
    (job / "model.py").write_text((job / "model.py").read_text() + "def fail():\n    return 1 / 0\n")
    there = snapshot_code(job, "model.py:Net")
    carried = pickle.loads(pickle.dumps(CodeSnapshot(folder=str(tmp_path / "absent"), files=there.files)))
    assert load_object("model.py:Net", carried).width == 23
    with pytest.raises(ZeroDivisionError) as caught:
        load_object("model.py:fail", carried)()
    assert "return 1 / 0" in str(caught.getrepr(style="long"))


def test_two_jobs_with_files_of_one_name_do_not_meet(tmp_path):
    one = write(tmp_path / "one", model="from part import VALUE\nclass Net: value = VALUE\n", part="VALUE = 1\n")
    two = write(tmp_path / "two", model="from part import VALUE\nclass Net: value = VALUE\n", part="VALUE = 2\n")
    assert (load(one, "model.py:Net").value, load(two, "model.py:Net").value) == (1, 2)


def test_what_runs_is_what_was_snapshot_even_if_the_file_changes_after_it(tmp_path):
    write(tmp_path, model="VALUE = 1\n")
    snapshot = snapshot_code(tmp_path, "model.py:VALUE")
    write(tmp_path, model="VALUE = 2\n")
    assert load_object("model.py:VALUE", snapshot) == 1
    assert load(tmp_path, "model.py:VALUE") == 2


def test_loading_twice_gives_the_same_class(job):
    assert load(job, "model.py:Net") is load(job, "model.py:Net")
    assert load(job, "model.py:Net.Inner").__qualname__ == "Net.Inner"


def test_a_file_in_a_subfolder_finds_its_neighbours_and_those_of_the_job(tmp_path):
    write(tmp_path, code__in__model="import near, far\nVALUE = near.V + far.V\n", code__in__near="V = 1", far="V = 20")
    assert load(tmp_path, "code/model.py:VALUE") == 21


def test_a_file_outside_the_job_s_folder_is_carried_with_its_own_neighbours(tmp_path):
    write(tmp_path, shared__in__model="import near\nVALUE = near.V\n", shared__in__near="V = 5", job__in__x="")
    snapshot = snapshot_code(tmp_path / "job", "../shared/model.py:VALUE")
    assert [name for name, _ in snapshot.files] == ["model.py", "near.py"]
    assert load_object("../shared/model.py:VALUE", snapshot) == 5


@pytest.mark.parametrize("reference", ["nets.blocks:block", "nets.blocks.block", "nets/blocks.py:block"])
def test_modules_of_the_user_are_named_by_file_or_by_dots(job, reference):
    assert load(job, reference)() == 20


@pytest.mark.parametrize("reference", ["collections:OrderedDict", "collections.OrderedDict"])
def test_installed_packages_are_loaded_as_they_are_and_not_carried(tmp_path, reference):
    import collections

    assert snapshot_code(tmp_path, reference).files == ()
    assert load(tmp_path, reference) is collections.OrderedDict


def test_a_file_beside_the_model_may_have_the_name_of_an_installed_package(tmp_path):
    import colorsys

    write(tmp_path, model="import colorsys\nVALUE = colorsys.MINE\n", colorsys="MINE = 7\n")
    assert load(tmp_path, "model.py:VALUE") == 7
    assert sys.modules["colorsys"] is colorsys


def test_the_fingerprint_moves_with_any_file_but_not_with_the_folder(job, tmp_path):
    first = snapshot_code(job, "model.py:Net")
    assert fingerprint(CodeSnapshot(folder="/elsewhere", files=first.files)) == fingerprint(first)
    write(job, settings="WIDTH = 4\n")
    assert fingerprint(snapshot_code(job, "model.py:Net")) != fingerprint(first)
    write(job, settings="WIDTH = 3\n", unrelated="x = 1")
    assert fingerprint(snapshot_code(job, "model.py:Net")) == fingerprint(first)


def test_data_classes_enumerations_and_pickles_of_the_user_s_work(tmp_path):
    write(
        tmp_path,
        model="""
            from __future__ import annotations
            import enum, dataclasses
            class Kind(enum.Enum):
                A = 1
            @dataclasses.dataclass
            class Part:
                kind: Kind = Kind.A
            """,
    )
    part = load(tmp_path, "model.py:Part")()
    assert pickle.loads(pickle.dumps(part)) == part


BAD = {
    "a file that is not there": ("modle.py:Net", {"model": ""}, [
        "modle.py is not there", "model.py", "relative to the job"]),
    "a module that is nowhere": ("nowhere_x.net:Net", {}, ["no module nowhere_x.net", "pip install nowhere_x"]),
    "a name misspelt": ("model.py:Nte", {"model": "class Net: pass\nclass Other: pass\n"}, [
        "has no Nte", "did you mean Net"]),
    "a name unlike any": ("model.py:Zzz", {"model": "import json\nclass Net: pass\n"}, ["has no Zzz", "it has Net"]),
    "a package to install": ("model.py:Net", {"model": "import torch_geometrics\n"}, [
        "No module named 'torch_geometrics'", "pip install torch_geometrics", "model.py:1: import torch_geometrics"]),
    "a package of another name": ("model.py:Net", {"model": "import cv2.absent\n"}, ["pip install opencv-python"]),
    "an error in a sibling": ("model.py:Net", {"model": "import part\n", "part": "x = 1\ny = x / 0\n"}, [
        "ZeroDivisionError", "model.py:1: import part", "part.py:2: y = x / 0"]),
    "a syntax error": ("model.py:Net", {"model": "class Net:\n  def f(:\n"}, ["model.py:2", "def f(:"]),
    "a syntax error in a sibling": ("model.py:Net", {"model": "import part", "part": "x = = 1"}, ["part.py:1"]),
    "a program that ends": ("model.py:Net", {"model": "import sys\nsys.exit(3)\n"}, ["sys.exit", "model.py:2"]),
    "a missing part of a sibling": ("model.py:Net", {"model": "import part.absent\n", "part": ""}, ["part.absent"]),
    "no name": ("model.py", {"model": ""}, ["model.py:Name"]),
    "an expression": ("model.py:Net()", {"model": "class Net: pass"}, ["does not say where"]),
    "zero bytes": ("model.py:Net", {"model": "x = '\0'"}, ["model.py"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_user_code_that_cannot_be_loaded_is_one_error_that_names_place_and_mend(tmp_path, case):
    reference, files, wanted = BAD[case]
    if "cv2" in str(files) and importlib.util.find_spec("cv2"):
        pytest.skip("OpenCV is installed")
    write(tmp_path, **files)
    with pytest.raises(UserCodeError) as caught:
        load(tmp_path, reference)
    for part in wanted:
        assert part in str(caught.value)
    assert "_apportion_user" not in str(caught.value)


@pytest.mark.parametrize("name", ["workers", "estimators", "orchestrator"])
def test_a_folder_that_hides_our_packages_is_refused_with_both_paths(tmp_path, name):
    import workers

    refuse_shadowing(tmp_path)
    (tmp_path / name).mkdir()
    refuse_shadowing(tmp_path)
    for theirs in (f"{name}/__init__.py", f"{name}.py"):
        (tmp_path / theirs).write_text("")
        with pytest.raises(UserCodeError) as caught:
            refuse_shadowing(tmp_path)
        assert str(tmp_path / theirs.removesuffix("/__init__.py")) in str(caught.value)
        assert workers.__file__.removesuffix("workers/__init__.py") + name in str(caught.value)
        (tmp_path / theirs).unlink()


def test_our_own_folder_hides_nothing():
    import pathlib

    import workers

    refuse_shadowing(pathlib.Path(workers.__file__).parents[1])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("model.py:Net", ("model.py", "", "Net")),
        ("a/b.py:Net.Inner", ("a/b.py", "", "Net.Inner")),
        ("a.b:C", ("", "a.b", "C")),
        ("a.b.C", ("", "a.b", "C")),
    ],
)
def test_references_have_a_place_and_a_name(text, parts):
    found = parse_reference(text)
    assert (found.file, found.module, found.name) == parts

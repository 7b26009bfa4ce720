"""Several tables: told apart, joined, held against each other, named."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import DataError
from coldstart.intake.convert import import_files
from coldstart.intake.wishes import Wishes

ROWS = [f"u{n % 7},i{n % 9},{n % 5 + 1},{1_600_000_000 + n}" for n in range(40)]
CSV = "\n".join(["user,item,rating,timestamp", *ROWS]) + "\n"


def test_several_files_of_interactions_are_joined_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("user,item,rating\nz,1,5\nz,2,5\n")
    (tmp_path / "a.csv").write_text("item;user;rating\n1;y;2,5\n1;z;1\n")
    imported = import_files([tmp_path / "b.csv", tmp_path / "a.csv"], root=tmp_path)
    lines = (tmp_path / "data/b/b.inter").read_text().splitlines()[1:]
    assert lines == ["z\t1\t5", "z\t2\t5", "y\t1\t2.5", "z\t1\t1"]
    assert imported.rows == 4


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("ml-latest-small/ratings.csv", "ml-latest-small"),
        ("x/Books_5.json.gz", "Books_5"),
        ("x/2019-Oct.csv", "2019-Oct"),
        ("x/my ratings!.csv", "my-ratings"),
    ],
)
def test_name(path: str, name: str, tmp_path: Path) -> None:
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text("user,item\na,b\n")
    assert import_files([tmp_path / path], root=tmp_path).folder == tmp_path / "data" / name


def test_values_of_users_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(CSV)
    (tmp_path / "users.csv").write_text("user,age\nu1,44\n,45\nu1,46\n" + "u2,1\n")
    imported = import_files(
        [tmp_path / "r.csv", tmp_path / "users.csv"], root=tmp_path, wishes=Wishes(max_aside=0.5)
    )
    assert sorted(note.split("(first")[1] for note in imported.notes) == [
        ": row 3: not shown)",
        ": row 4: not shown)",
    ]


def test_tables_that_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(CSV)
    (tmp_path / "movies.csv").write_text("item,title\n1,Heat\n2,Alien\n")
    with pytest.raises(
        DataError,
        match=r"movies\.csv, column 'item': none of its keys is a item .*'1' against 'i0'",
    ):
        import_files([tmp_path / "r.csv", tmp_path / "movies.csv"], root=tmp_path)
    (tmp_path / "tags.csv").write_text("user,item,tag,timestamp\nu1,i1,nice,1600000000\n")
    with pytest.raises(DataError, match=r"tags\.csv: has user, item, timestamp, but .*r\.csv has"):
        import_files([tmp_path / "r.csv", tmp_path / "tags.csv"], root=tmp_path)
    (tmp_path / "links.csv").write_text("item,imdbId\ni1,7\n")
    with pytest.raises(DataError, match=r"links\.csv: has no title, year or genres"):
        import_files([tmp_path / "r.csv", tmp_path / "links.csv"], root=tmp_path)
    with pytest.raises(DataError, match=r"both describe items; leave one out"):
        import_files([tmp_path / n for n in ("r.csv", "links.csv", "movies.csv")], root=tmp_path)
    with pytest.raises(DataError, match="no file has both users and items"):
        import_files([tmp_path / n for n in ("links.csv", "movies.csv")], root=tmp_path)

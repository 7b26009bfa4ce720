"""Layouts that people have go through without an option; what was guessed is said."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from coldstart.data.item_features import item_features
from coldstart.data.sources import read_source
from coldstart.intake.convert import Imported, import_files, import_frames
from coldstart.intake.wishes import Wishes


def deliver(folder: Path, files: dict[str, str | bytes], **wishes: object) -> Imported:
    """Write files and import them in this order as the dataset ``d``."""
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    paths = [folder / name for name in files]
    return import_files(paths, name="d", root=folder, wishes=Wishes(**wishes))  # type: ignore[arg-type]


def made(folder: Path, suffix: str) -> str:
    return (folder / f"data/d/d.{suffix}").read_text(encoding="utf-8")


def packed_lines(rows: list[dict[str, object]]) -> bytes:
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())


def test_movielens_csv(tmp_path: Path) -> None:
    imported = deliver(
        tmp_path,
        {
            "ratings.csv": "userId,movieId,rating,timestamp\r\n1,31,2.5,1260759144\r\n"
            "1,1029,3.0,1260759179\r\n7,31,3.0,851866703\r\n",
            "movies.csv": "movieId,title,genres\r\n31,Dangerous Minds (1995),Drama\r\n"
            '1029,"American President, The (1995)",Children\'s|Film Noir\r\n'
            "9,Unrated (Live) (2001),(no genres listed)\r\n",
        },
    )
    assert made(tmp_path, "inter") == (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "1\t31\t2.5\t1260759144\n1\t1029\t3\t1260759179\n7\t31\t3\t851866703\n"
    )
    assert made(tmp_path, "item") == (
        "item_id:token\ttitle:token_seq\tyear:float\tgenres:token_seq\n"
        "31\tDangerous Minds (1995)\t1995\tDrama\n"
        "1029\tAmerican President, The (1995)\t1995\tChildren's Film_Noir\n"
        "9\tUnrated (Live) (2001)\t2001\t\n"
    )
    said = "\n".join(imported.guesses)
    for part in (
        "ratings.csv: utf-8, separated by comma",
        "user is 'userId', by its name",
        "times as seconds",
        "item is 'movieId', the same name",
        "genres are separated by '|'",
        "the year is what stands in brackets after the title",
        "describes 2 of the 2 items of the interactions",
    ):
        assert part in said
    assert imported.notes == ()


def test_movielens_1m(tmp_path: Path) -> None:
    deliver(
        tmp_path,
        {
            "ratings.dat": "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n",
            "movies.dat": "1193::Misérables, Les (1995)::Drama|Musical\n661::Heat::Action\n"
            "9::Up (2009)::Drama|Musical\n10::Alien (1979)::Action\n".encode("latin-1"),
            "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        },
    )
    assert made(tmp_path, "inter").splitlines()[1:] == [
        "1\t1193\t5\t978300760",
        "1\t661\t3\t978302109",
        "2\t1193\t4\t978298413",
    ]
    assert (
        made(tmp_path, "item").splitlines()[1]
        == "1193\tMisérables, Les (1995)\t1995\tDrama Musical"
    )
    assert made(tmp_path, "item").splitlines()[2] == "661\tHeat\t\tAction"
    assert made(tmp_path, "user") == (
        "user_id:token\tcolumn_2:token\tcolumn_3:token\tcolumn_4:token\tcolumn_5:token\n"
        "1\tF\t1\t10\t48067\n2\tM\t56\t16\t70072\n"
    )


@pytest.mark.parametrize("year", [2014, 2023])
def test_amazon_reviews(year: int, tmp_path: Path) -> None:
    if year == 2014:
        names = ("reviewerID", "asin", "overall", "unixReviewTime")
        more: dict[str, object] = {"helpful": [0, 2], "summary": "ok", "reviewTime": "09 13, 2009"}
    else:
        names = ("user_id", "parent_asin", "rating", "timestamp")
        more = {"title": "ok", "asin": "B9", "images": [], "verified_purchase": True}
    unit = 1000 if year == 2023 else 1
    rows = [("A1", "B1", 5.0, 1588615855), ("A1", "B2", 3.0, 1588615856), ("A2", "B1", 1.0, 10**9)]
    reviews = [dict(zip(names, (u, i, r, t * unit), strict=True)) | more for u, i, r, t in rows]
    meta = [
        {names[1]: "B1", "title": "Toy", "categories": ["Toys & Games", "Dolls"], "price": None},
        {names[1]: "B7", "title": None, "categories": [], "details": {"Brand": "x"}},
        {names[1]: "B8", "categories": ["Dolls"], "description": ["a\tb"]},
    ]
    imported = deliver(
        tmp_path, {"reviews.jsonl.gz": packed_lines(reviews), "meta.jsonl.gz": packed_lines(meta)}
    )
    assert "  genres are lists, or separated by '|'" in imported.guesses
    assert "  describes 1 of the 2 items of the interactions" in imported.guesses
    assert imported.params["validate.max_unknown_items"] == 0.6
    assert made(tmp_path, "inter").splitlines()[1:] == [
        f"A1\tB1\t5\t{1588615855}",
        f"A1\tB2\t3\t{1588615856}",
        f"A2\tB1\t1\t{10**9}",
    ]
    assert made(tmp_path, "item") == (
        "item_id:token\ttitle:token_seq\tgenres:token_seq\n"
        "B1\tToy\tToys_&_Games Dolls\nB7\t\t\nB8\t\tDolls\n"
    )


def test_an_event_log_without_ratings(tmp_path: Path) -> None:
    imported = deliver(
        tmp_path,
        {
            "2019-Oct.csv": "event_time,event_type,product_id,category_id,category_code,brand,"
            "price,user_id,user_session\n"
            "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387,,shiseido,35.79,541312140,72d\n"
            "2019-10-01 00:00:01 UTC,cart,3900821,2053013552326770,a.b,aqua,33.20,554748717,933\n"
            "2019-10-01 00:00:01 UTC,purchase,3900821,2053013552326770,a.b,,33.20,554748717,9\n"
        },
    )
    assert made(tmp_path, "inter") == (
        "user_id:token\titem_id:token\tevent:token\ttimestamp:float\n"
        "541312140\t44600062\tview\t1569888000\n554748717\t3900821\tcart\t1569888001\n"
        "554748717\t3900821\tpurchase\t1569888001\n"
    )
    assert (
        "not used: category_id, category_code, brand, price, user_session" in imported.guesses[-1]
    )
    assert imported.params["head"] == "ranking"


def test_play_counts_without_a_header(tmp_path: Path) -> None:
    rows = [f"user{n % 5}\t{n % 7:036x}\tartist {n % 7}\t{n * 37}" for n in range(1, 150)]
    deliver(tmp_path, {"plays.tsv": "\n".join(rows) + "\n"})
    assert made(tmp_path, "inter").splitlines()[:2] == [
        "user_id:token\titem_id:token\tcount:float",
        f"user1\t{1:036x}\t37",
    ]


def test_book_crossing(tmp_path: Path) -> None:
    imported = deliver(
        tmp_path,
        {
            "BX-Book-Ratings.csv": '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n'
            '"276726";"0155061224";"10"\n',
            "BX-Books.csv": (
                '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication"\n'
                '"034545104X";"Flesh \\"Tones\\"; a Novel";"M. J. Rosé";"2002"\n'
                '"0155061224";"Rites, of Passage";"J";"0"\n'
            ).encode("latin-1"),
            "BX-Users.csv": '"User-ID";"Location";"Age"\n"276725";"tyler, texas, usa";NULL\n',
        },
    )
    assert made(tmp_path, "item").splitlines()[1:] == [
        '034545104X\tFlesh "Tones"; a Novel\t2002',
        "0155061224\tRites, of Passage\t",
    ]
    assert made(tmp_path, "user").splitlines() == [
        "user_id:token\tLocation:token\tAge:token",
        "276725\ttyler, texas, usa\t",
    ]
    assert {imported.params[f"data.{key}"] for key in ("min_rating", "max_rating")} == {0.0, 10.0}


def test_genres_with_pipes_become_genres(tmp_path: Path) -> None:
    rows = "".join(f"u{n}\ti{n % 12}\t4\n" for n in range(24))
    kinds = ["Action|Comedy", "Comedy|Drama"]
    items = "".join(f"i{n}\t{kinds[n % 2]}\t{1990 + n}.0\n" for n in range(12))
    deliver(
        tmp_path,
        {
            "x.inter": "user_id:token\titem_id:token\trating:float\n" + rows,
            "pipe.item": "item_id:token\tgenres:token_seq\tyear:float\n" + items,
        },
    )
    source = read_source(tmp_path / "data/d", "d")
    keys = ["", *(f"i{n}" for n in range(12))]
    _, labels = item_features(
        source, keys, pd.Series(True, index=keys).to_numpy(), ["genres", "year"]
    )
    assert labels == ["genre=Action", "genre=Comedy", "genre=Drama", "year"]
    assert made(tmp_path, "item").splitlines()[1] == "i0\t1990\tAction Comedy"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["Action|Sci-Fi", "Drama"], ["Action Sci-Fi", "Drama"]),
        (["Action, Science Fiction", "Drama"], ["Action Science_Fiction", "Drama"]),
        (["Action;Drama", "Drama;Drama"], ["Action Drama", "Drama"]),
        (["Science Fiction", "Film Noir"], ["Science_Fiction", "Film_Noir"]),
        (["A B", "B C", "A C", "A B C", "C B", "B"], ["A B", "B C", "A C", "A B C", "C B", "B"]),
        (["['Action', 'Film Noir']", "[]"], ["Action Film_Noir", ""]),
        (["|Action||", "nan"], ["Action", ""]),
        (
            ["Action, Drama", "R|B, Drama", "Drama, Folk"],
            ["Action Drama", "R/B Drama", "Drama Folk"],
        ),
    ],
)
def test_genres(written: list[str], expected: list[str], tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": ["u"], "item": ["0"]})
    items = pd.DataFrame({"item": map(str, range(len(written))), "genre": written})
    import_frames(frame, items=items, name="d", root=tmp_path)
    lines = made(tmp_path, "item").splitlines()[1:]
    assert [line.split("\t")[1] for line in lines] == expected


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ('"a\\","x"\n"b ""c"" \\","y"\n', ["a\\", 'b "c" \\']),  # a backslash is a letter
        ('"a","x"\n"b \\"c\\" d","y"\n', ["a", 'b "c" d']),  # it takes a quote's meaning
        ('"a" b,x\n5" disk,y\n', ['"a" b', '5" disk']),  # quotes are letters
        ("a\u2028b,x\nc\x85d,y\n", ["a b", "c d"]),  # spaces of some kind, no line ends
    ],
)
def test_quotes_and_backslashes(written: str, keys: list[str], tmp_path: Path) -> None:
    deliver(tmp_path, {"t.csv": "user,item\n" + written})
    assert [line.split("\t")[0] for line in made(tmp_path, "inter").splitlines()[1:]] == keys


def test_columns_by_name_by_number_and_none(tmp_path: Path) -> None:
    table = "who,what,mark,day,note\n" + "a,x,3,2020-01-02,n\nb,y,4,2020-01-03,n\n"
    columns = {"user": "who", "item": "2", "rating": "mark", "timestamp": "day"}
    deliver(tmp_path, {"t.csv": table}, columns=columns)
    assert made(tmp_path, "inter").splitlines()[1] == "a\tx\t3\t1577923200"
    stripped = {**columns, "rating": "none", "timestamp": "none"}
    imported = deliver(tmp_path, {"t.csv": table}, columns=stripped, replace=True)
    assert made(tmp_path, "inter") == "user_id:token\titem_id:token\na\tx\nb\ty\n"
    assert "not used: mark, day, note" in imported.guesses[-1]


def test_keys_that_a_hole_made_floats(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": [1.0, None, 3.0], "item": [10, 20, 30]})
    imported = import_frames(frame, name="d", root=tmp_path, wishes=Wishes(max_aside=0.5))
    assert made(tmp_path, "inter").splitlines()[1:] == ["1\t10", "3\t30"]
    assert "row 2" in imported.notes[0]
    imported = deliver(tmp_path, {"t.csv": "user,item\n1.0,a\n2.0,b\n"}, replace=True)
    assert "  users written as 12.0 are 12" in imported.guesses
    assert imported.notes == ()
    assert made(tmp_path, "inter").splitlines()[1:] == ["1\ta", "2\tb"]
    deliver(tmp_path, {"t.csv": "user,item\nv1.0,a\n2.0,b\n"}, replace=True)
    assert made(tmp_path, "inter").splitlines()[1:] == ["v1.0\ta", "2.0\tb"]

"""A snapshot -> what is new in it to somebody who has been told of others before. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from landpatch.watch.sights import Row, Snapshot, View
from landpatch.watch.states import count_states, describe_change


@dataclass(frozen=True, slots=True)
class Told:
    """What a client knows. The texts are those of the snapshots, so it takes next to no memory."""

    general: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)


def tell(snapshot: Snapshot, wanted: Collection[str], told: Told) -> tuple[dict[str, Any], Told]:
    """What is new, and what the client knows then.

    wanted: regions of which the client wants to know each patch. The message has only what differs: fields
    of its own, `rows` by region (null: it is gone), `views` by region, of which images and labels are as of
    `describe_change`.
    """
    general = {
        "fault": snapshot.fault,
        "waiting": dict(snapshot.waiting),
        "account": asdict(snapshot.account) if snapshot.account else None,
        "refused": snapshot.refused,
    }
    rows = {row.key: row for row in snapshot.rows}
    views = {key: snapshot.views[key] for key in wanted if key in snapshot.views}
    message: dict[str, Any] = {
        name: value
        for name, value in general.items()
        if name not in told.general or told.general[name] != value
    }
    if changed := _tell_rows(rows, told.rows):
        message["rows"] = changed
    if closer := _tell_views(views, told.views):
        message["views"] = closer
    return message, Told(general, rows, views)


def _tell_rows(rows: Mapping[str, Row], known: Mapping[str, Row]) -> dict[str, dict[str, Any] | None]:
    changed: dict[str, dict[str, Any] | None] = {
        key: _describe_row(row) for key, row in rows.items() if known.get(key) != row
    }
    return changed | dict.fromkeys(known.keys() - rows.keys())


def _describe_row(row: Row) -> dict[str, Any]:
    return asdict(row.at) | {"images_per_s": round(row.images_per_s, 3), "eta_s": row.eta_s}


def _tell_views(views: Mapping[str, View], known: Mapping[str, View]) -> dict[str, dict[str, Any]]:
    told = {
        key: _tell_view(view, known.get(key)) for key, view in views.items() if known.get(key) is not view
    }
    return {key: news for key, news in told.items() if news}


def _tell_view(view: View, known: View | None) -> dict[str, Any]:
    news: dict[str, Any] = {}
    if known is None or (known.run, known.cover) != (view.run, view.cover):
        known, news = None, {"run": view.run, "cover": view.cover}  # the page draws another map
    for kind in ("images", "labels"):
        text: bytes = getattr(view, kind)
        change = describe_change(getattr(known, kind) if known else None, text)
        if change is not None:
            news |= {kind: change, f"{kind}_counts": count_states(text)}
    if known is None or known.reasons != view.reasons:
        news["reasons"] = [asdict(reason) for reason in view.reasons]
    if known is None or known.letters != view.letters:
        news["letters"] = [asdict(letter) for letter in view.letters]
    if known is None or known.fault != view.fault:
        news["fault"] = view.fault
    return news

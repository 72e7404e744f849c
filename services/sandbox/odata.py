"""The catalogue's query language: `$filter` to a predicate over products, and the pages of an answer.

Source: https://documentation.dataspace.copernicus.eu/APIs/OData.html; what is not written there is
refused.
"""

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

import shapely
from lark import Lark, Transformer, v_args
from lark.exceptions import LarkError, VisitError

MAX_TOP, DEFAULT_TOP, MAX_SKIP = 1000, 20, 10_000
ORDER_KEYS = ("ContentDate/Start", "ContentDate/End", "PublicationDate", "ModificationDate")
_OPTIONS = frozenset({"$filter", "$top", "$skip", "$orderby", "$count", "$expand"})

Product = dict[str, Any]
Predicate = Callable[[Product], bool]

_GRAMMAR = r"""
?start: either
?either: both ("or"i both)*          -> either
?both: unit ("and"i unit)*           -> both
?unit: "not"i unit                   -> negate
     | "(" either ")"
     | "Collection/Name" "eq"i STRING              -> in_collection
     | "Name" COMPARE STRING                       -> by_name
     | "Id" COMPARE STRING                         -> by_id
     | "Online" "eq"i BOOLEAN                      -> by_online
     | DATE_KEY COMPARE TIME                       -> by_date
     | FUNCTION "(" "Name" "," STRING ")"          -> by_part
     | "Attributes/OData.CSC." ATTRIBUTE "/any" "(" VARIABLE ":" matched ("and"i matched)* ")" -> by_attribute
     | "OData.CSC.Intersects" "(" "area" "=" GEOGRAPHY ")"  -> by_area
matched: PROPERTY COMPARE (STRING | NUMBER | TIME)
DATE_KEY: "ContentDate/Start" | "ContentDate/End" | "PublicationDate" | "ModificationDate" | "OriginDate"
FUNCTION: "contains" | "startswith" | "endswith"
ATTRIBUTE: ("String" | "Double" | "Integer" | "DateTimeOffset") "Attribute"
COMPARE: "eq"i | "ne"i | "lt"i | "le"i | "gt"i | "ge"i
BOOLEAN: "true"i | "false"i
VARIABLE: /[a-z][A-Za-z0-9]*/
PROPERTY: /[a-z][A-Za-z0-9]*\/(Name|OData\.CSC\.[A-Za-z]+Attribute\/Value)/
TIME.2: /\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,7})?)?Z/
NUMBER: /-?\d+(\.\d+)?/
GEOGRAPHY: /geography'SRID=4326;[A-Za-z0-9 ,.()+-]*'/
STRING: /'([^']|'')*'/
%import common.WS
%ignore WS
"""
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt,
    "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip


class BadQueryError(ValueError):
    """A query that the catalogue refuses, with the status and the `detail` of its answer."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of the catalogue."""

    matches: Predicate
    top: int
    skip: int
    order_by: str | None
    descending: bool
    count: bool
    expand: bool


def parse_query(parameters: Mapping[str, str]) -> Query:
    """Read the parameters of a request. Raises BadQueryError as the catalogue would refuse them."""
    unknown = sorted(set(parameters) - _OPTIONS)
    if unknown:
        raise _refusal(f"Invalid query parameter: {unknown[0]}")
    if parameters.get("$expand", "Attributes") not in {"Attributes", "Assets", "Locations"}:
        raise _refusal(f"Invalid value of $expand: {parameters['$expand']}")
    order_by, descending = _read_order(parameters.get("$orderby"))
    return Query(
        matches=parse_filter(parameters["$filter"]) if "$filter" in parameters else lambda _: True,
        top=_read_number(parameters, "$top", DEFAULT_TOP, MAX_TOP),
        skip=_read_number(parameters, "$skip", 0, MAX_SKIP),
        order_by=order_by,
        descending=descending,
        count=parameters.get("$count", "false").lower() == "true",
        expand=parameters.get("$expand") == "Attributes",
    )


def _refusal(message: str) -> BadQueryError:
    return BadQueryError(400, {"message": message, "request_id": "00000000-0000-0000-0000-000000000000"})


def _read_order(text: str | None) -> tuple[str | None, bool]:
    if text is None:
        return None, False
    key, _, direction = text.strip().partition(" ")
    if key not in ORDER_KEYS or direction.strip().lower() not in {"", "asc", "desc"}:
        raise _refusal(f"Invalid order by: {text}. Supported keys: {', '.join(ORDER_KEYS)}")
    return key, direction.strip().lower() == "desc"


def _read_number(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = parameters.get(name, str(default))
    fault = None
    if not text.lstrip("-").isdecimal():
        fault = ("int_parsing", "Input should be a valid integer, unable to parse string as an integer")
    elif int(text) > most:
        fault = ("less_than_equal", f"Input should be less than or equal to {most}")
    elif int(text) < 0:
        fault = ("greater_than_equal", "Input should be greater than or equal to 0")
    if fault is not None:
        raise BadQueryError(422, [{"type": fault[0], "loc": ["query", name], "msg": fault[1], "input": text}])
    return int(text)


def answer(query: Query, products: list[Product], url: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """One page of an answer. url: the address that was asked; parameters: those of the request."""
    found = [product for product in products if query.matches(product)]
    if query.order_by is not None:
        key = query.order_by
        found.sort(key=lambda product: _read_time(product, key), reverse=query.descending)
    page = found[query.skip : query.skip + query.top]
    body: dict[str, Any] = {
        "@odata.context": "$metadata#Products(Attributes())" if query.expand else "$metadata#Products"
    }
    if query.count:
        body["@odata.count"] = len(found)
    hidden = set() if query.expand else {"Attributes"}
    body["value"] = [{key: product[key] for key in product if key not in hidden} for product in page]
    if query.skip + query.top < len(found):
        more = {**parameters, "$skip": str(query.skip + query.top)}
        body["@odata.nextLink"] = f"{url}?{urlencode(more)}"
    return body


def parse_filter(text: str) -> Predicate:
    """A `$filter` as a predicate over products. Raises BadQueryError for one that is not understood."""
    try:
        predicate: Predicate = _Builder().transform(_grammar().parse(text))
    except VisitError as error:
        raise _refusal(f"Invalid filter: {error.orig_exc}") from error
    except LarkError as error:
        where = getattr(error, "pos_in_stream", None)
        raise _refusal(f"Invalid filter: syntax error at position {where}") from error
    return predicate


@cache
def _grammar() -> Lark:
    return Lark(_GRAMMAR, parser="earley", lexer="dynamic")


def _read_time(product: Product, key: str) -> datetime:
    value: Any = product
    for part in key.split("/"):
        value = value[part]
    return _to_time(value)


def _to_time(text: str) -> datetime:
    return datetime.fromisoformat(text.upper().replace("Z", "+00:00")).astimezone(UTC)


def _unquote(text: str) -> str:
    return text[1:-1].replace("''", "'")


@v_args(inline=True)
class _Builder(Transformer[Any, Predicate]):
    """Grammar rules to predicates."""

    def either(self, *parts: Predicate) -> Predicate:
        return lambda product: any(part(product) for part in parts)

    def both(self, *parts: Predicate) -> Predicate:
        return lambda product: all(part(product) for part in parts)

    def negate(self, part: Predicate) -> Predicate:
        return lambda product: not part(product)

    def in_collection(self, name: str) -> Predicate:
        known = _unquote(name) == "SENTINEL-2"
        return lambda _: known

    def by_name(self, compare: str, name: str) -> Predicate:
        test, value = _COMPARE[compare.lower()], _unquote(name)
        return lambda product: test(product["Name"], value)

    def by_id(self, compare: str, name: str) -> Predicate:
        test, value = _COMPARE[compare.lower()], _unquote(name)
        return lambda product: test(product["Id"], value)

    def by_online(self, value: str) -> Predicate:
        wanted = value.lower() == "true"
        return lambda product: bool(product["Online"] is wanted)

    def by_date(self, key: str, compare: str, time: str) -> Predicate:
        test, value, name = _COMPARE[compare.lower()], _to_time(time), str(key)
        return lambda product: test(_read_time(product, name), value)

    def by_part(self, function: str, part: str) -> Predicate:
        value = _unquote(part)
        tests: dict[str, Callable[[str], bool]] = {
            "contains": lambda name: value in name,
            "startswith": lambda name: name.startswith(value),
            "endswith": lambda name: name.endswith(value),
        }
        test = tests[str(function)]
        return lambda product: test(product["Name"])

    def matched(self, left: str, compare: str, right: str) -> tuple[str, str, str]:
        return str(left), str(compare).lower(), str(right)

    def by_attribute(self, kind: str, variable: str, *matched: tuple[str, str, str]) -> Predicate:
        name, tests = None, []
        for left, compare, right in matched:
            owner, _, member = left.partition("/")
            if owner != variable:
                raise ValueError(f"unknown variable {owner}")
            if member == "Name" and compare == "eq":
                name = _unquote(right)
            elif member == f"OData.CSC.{kind}/Value":
                tests.append((_COMPARE[compare], _to_value(str(kind), right)))
            else:
                raise ValueError(f"{left} {compare} is not allowed in {kind}")
        if name is None or not tests:
            raise ValueError("an attribute needs a Name and a Value")
        odata_type = f"#OData.CSC.{kind}"

        def matches(product: Product) -> bool:
            return any(
                attribute["@odata.type"] == odata_type
                and attribute["Name"] == name
                and all(test(_to_value(str(kind), attribute["Value"]), value) for test, value in tests)
                for attribute in product["Attributes"]
            )

        return matches

    def by_area(self, area: str) -> Predicate:
        geometry = shapely.from_wkt(area.partition(";")[2].rstrip("'"))
        if geometry is None or not geometry.is_valid or geometry.is_empty:
            raise ValueError("the area is not a valid geometry")
        shapely.prepare(geometry)
        return lambda product: bool(
            shapely.intersects(geometry, shapely.from_geojson(json.dumps(product["GeoFootprint"])))
        )


def _to_value(kind: str, value: Any) -> Any:
    if kind == "DateTimeOffsetAttribute":
        return _to_time(_unquote(value) if value.startswith("'") else value)
    if kind == "StringAttribute":
        return _unquote(value) if value.startswith("'") and value.endswith("'") else value
    return float(value)

"""A view of MLflow's Charts page, saved as a tag of the experiment as the page's own button saves it.

The format is not documented. It was read from the page's JavaScript (``mlflow/server/js/build``, modules 53787, 1395,
57637 and 63989) and tried in the version of ``TRIED`` alone; of any other one nobody knows what it makes of such a tag.
What the page does:

- It draws a chart for every metric that has none, so that each of those which are not wanted has a deleted one.
- Runs below another run are shown by themselves only where the order is not that of their start.
- A view is not applied where the address holds a filter or an order of its own.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.parse
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mammogan.config import digest

TRIED = "3.17.2"
"""Version of MLflow whose page was tried."""
PREFIX = "mlflow.sharedViewState."
LONGEST = 20_000
"""Characters of an experiment's tag that MLflow takes."""
RUNS_SHOWN = 30


class Kind(StrEnum):
    """What a chart shows of its runs."""

    LINE = "line"
    """A metric over the steps."""
    LOG_LINE = "line on a logarithmic scale"
    """The same of a metric that is above 0 and falls by orders of magnitude."""
    BAR = "bar"
    """The latest value of a metric, a bar for each run."""
    IMAGES = "images"
    """An image series at one step; nothing while runs are grouped."""


@dataclass(frozen=True)
class Chart:
    """One chart."""

    kind: Kind
    key: str
    """Of the metric, or of the image series."""
    step: int = 0
    """Step of the images."""


@dataclass(frozen=True)
class Section:
    """Charts under a heading."""

    title: str
    charts: tuple[Chart, ...]
    per_row: int = 3
    height_px: int = 330


@dataclass(frozen=True)
class SavedView:
    """What the page shows: which runs in which order, their columns and charts."""

    name: str
    """Its entry in the page's menu of views."""
    search: str
    """Filter of runs."""
    order_by: str
    """Column by which runs are sorted."""
    ascending: bool
    columns: tuple[str, ...]
    """Columns of the table of runs, such as ``params.`lambda```."""
    sections: tuple[Section, ...]
    group_by: str = ""
    """Parameter whose runs become one line, their mean, in a band from their least to their greatest value."""


def address(experiment_id: str, key: str) -> str:
    """Address of a saved view, behind the server's own."""
    query = {"viewStateShareKey": key, "compareRunsMode": "CHART", "workflowType": "machine_learning"}
    return f"#/experiments/{experiment_id}/runs?{urllib.parse.urlencode(query)}"


def document(view: SavedView, metric_keys: Iterable[str], before: str | None) -> str:
    """Value of the tag that saves the view; ``metric_keys`` are those of its runs, ``before`` the tag's value so far.

    Raises ValueError where the tag would be longer than MLflow takes.
    """
    packed = base64.b64encode(zlib.compress(json.dumps(_state(view, metric_keys), separators=(",", ":")).encode(), 9))
    state, now_ms = f"deflate;{packed.decode()}", time.time_ns() // 1_000_000
    created_ms = json.loads(before).get("createdAt", now_ms) if before else now_ms
    content = {"name": view.name, "createdAt": created_ms, "updatedAt": now_ms, "state": state}
    text = json.dumps({**content, "mammogan": _seal(view.name, state)})
    if len(text) > LONGEST:
        raise ValueError(f"view={view.name!r}: {len(text)} characters, MLflow takes {LONGEST}; give it fewer charts")
    return text


def is_ours(text: str | None) -> bool:
    """Whether we may write in this one's place: there is none yet, or it is as we saved it and no person changed it."""
    return text is None or was_written(text)


def was_written(text: str) -> bool:
    """Whether a tag's value is a view that we saved and no person changed."""
    try:
        content = json.loads(text)
        return content["mammogan"] == _seal(content["name"], content["state"])
    except (ValueError, KeyError, TypeError):
        return False


def _seal(name: str, state: str) -> str:
    return digest([name, state])


def _state(view: SavedView, metric_keys: Iterable[str]) -> Mapping[str, object]:
    sections = [
        {"uuid": f"s{number}", "name": section.title, "display": True, "isReordered": True, "columns": section.per_row,
         "cardHeight": section.height_px}
        for number, section in enumerate(view.sections)
    ]  # fmt: skip
    cards = [
        {"uuid": f"s{number}c{place}", "metricSectionId": f"s{number}", "deleted": False, "isGenerated": False,
         "runsCountToCompare": RUNS_SHOWN, **_card(chart)}
        for number, section in enumerate(view.sections)
        for place, chart in enumerate(section.charts)
    ]  # fmt: skip
    shown = {chart.key for section in view.sections for chart in section.charts if chart.kind is not Kind.IMAGES}
    hidden = [
        {"uuid": f"x{number}", "type": "LINE", "metricKey": key, "deleted": True, "isGenerated": True}
        for number, key in enumerate(sorted(set(metric_keys) - shown))
    ]
    group = {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": view.group_by}],
    }
    return {
        "searchFilter": view.search,
        "orderByKey": view.order_by,
        "orderByAsc": view.ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(view.columns),
        "columnOrder": list(view.columns),
        "compareRunCharts": cards + hidden,
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "runsHiddenMode": "FIRST_20_RUNS",
        "hideEmptyCharts": True,
        "useGroupedValuesInCharts": True,
        "groupBy": group if view.group_by else None,
    }


def _card(chart: Chart) -> Mapping[str, object]:
    if chart.kind is Kind.IMAGES:
        return {"type": "IMAGE", "imageKeys": [chart.key], "step": chart.step, "showRunParams": False}
    if chart.kind is Kind.BAR:
        return {"type": "BAR", "metricKey": chart.key}
    return {
        "type": "LINE",
        "metricKey": chart.key,
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "range": {},
        "scaleType": "log" if chart.kind is Kind.LOG_LINE else "linear",
        "lineSmoothness": 0,
        "displayPoints": True,
        "yAxisKey": "metric",
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }

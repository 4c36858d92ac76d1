// Draws the numbers that a page brings along, with Apache ECharts. Nothing is computed here but what a threshold moves.
"use strict";

const DASHES = ["solid", "dashed", "dotted", [6, 3, 1.5, 3], [10, 3], [2, 2]];
const drawn = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function look(mark) {
  if (mark.role === "local-only") return { color: colour("alone"), type: "dotted" };
  if (mark.role === "centralised") return { color: colour("ink"), type: "dashed" };
  return { color: colour(`arm-${mark.place % 6}`), type: DASHES[mark.place % DASHES.length] };
}

function plain(more) {
  const text = { color: colour("ink"), fontFamily: getComputedStyle(document.body).fontFamily };
  return {
    animation: false,
    textStyle: text,
    aria: { enabled: false },
    grid: { left: 48, right: 24, top: 48, bottom: 40 },
    legend: { top: 0, left: 0, textStyle: { color: colour("muted") }, itemWidth: 22 },
    tooltip: { trigger: "axis", renderMode: "richText", backgroundColor: colour("paper"), textStyle: text, borderColor: colour("rule") },
    ...more,
  };
}

// With the minus of the texts.
function written(value) {
  return value.toLocaleString(LOCALE).replace("-", "−");
}

function axis(name, more) {
  return {
    name,
    nameLocation: "middle",
    nameGap: 28,
    type: "value",
    nameTextStyle: { color: colour("muted") },
    axisLabel: { color: colour("muted"), formatter: written },
    axisLine: { lineStyle: { color: colour("faint") } },
    splitLine: { lineStyle: { color: colour("rule"), opacity: 0.6 } },
    ...more,
  };
}

function pairs(x, y) {
  return x.map((value, place) => [value, y[place]]);
}

// A share never passes 1; the axis of a single one is the tenth that it lies in.
const SHARE = {
  min: ({ min, max }) => (min === max && max <= 1 ? Math.max(0, Math.ceil(min * 10) / 10 - 0.1) : null),
  max: ({ min, max }) => (max > 1 ? null : max > 0.9 ? 1 : min === max ? Math.max(0.1, Math.ceil(max * 10) / 10) : null),
};

function panel(numbers) {
  const series = numbers.lines.map((line) => ({
    name: word(line.name),
    type: "line",
    showSymbol: line.x.length < 3,
    data: pairs(line.x, line.y),
    tooltip: { show: !(line.faint && numbers.lines.length > 9) },
    emphasis: { focus: "series", lineStyle: { width: 3, color: colour("ink") } },
    lineStyle: line.faint ? { width: 1, color: colour("faint") } : { width: 2.2, ...look(line.mark) },
    itemStyle: { color: line.faint ? colour("faint") : look(line.mark).color },
    z: line.faint ? 1 : 3,
  }));
  for (const [mark, value] of numbers.levels) {
    const [first] = series;
    if (first) first.markLine = { symbol: "none", silent: true, data: [{ yAxis: value }], lineStyle: look(mark), label: { formatter: word(mark.label), position: "insideEndTop", color: colour("muted") } };
  }
  const named = numbers.lines.filter((line) => !line.faint).map((line) => word(line.name));
  return plain({
    grid: { left: 48, right: 24, top: named.length > 1 ? 52 : 34, bottom: 40 },
    title: { text: numbers.title, left: 0, top: 0, padding: [3, 0], textStyle: { color: colour("ink"), fontSize: 13, fontWeight: 600 } },
    legend: { data: named, top: 18, left: 0, show: named.length > 1, textStyle: { color: colour("muted") } },
    xAxis: axis(word("round"), { minInterval: 1 }),
    yAxis: axis("", { scale: true, ...(numbers.metric ? SHARE : {}) }),
    series,
  });
}

function calibration(one) {
  const line = { name: word(one.mark.label), type: "line", data: pairs(one.predicted, one.observed), symbolSize: 7, lineStyle: { width: 2, ...look(one.mark) }, itemStyle: { color: look(one.mark).color } };
  const ideal = { name: word("as promised"), type: "line", silent: true, showSymbol: false, data: [[0, 0], [1, 1]], lineStyle: { color: colour("faint"), type: "dashed", width: 1 }, itemStyle: { color: colour("faint") } };
  const binary = one.edges.length > 0;
  return plain({
    xAxis: axis(binary ? word("predicted risk") : word("predicted"), binary ? { min: 0, max: 1 } : { scale: true }),
    yAxis: axis(word("observed"), binary ? { min: 0, max: 1 } : { scale: true }),
    series: binary ? [line, ideal] : [line],
  });
}

function forest(numbers) {
  const rows = [...numbers.rows, { ...numbers.pooled, site: word("all sites") }];
  const error = numbers.metric === "rmse" || numbers.metric === "mae";
  return ladder({
    rows: rows.map((row) => ({ name: row.site, points: row.estimates.map(([mark, estimate]) => ({ mark, estimate })) })),
    name: error ? numbers.metric.toUpperCase() : word(numbers.metric.toUpperCase()),
    high: error ? null : 1,
  });
}

// Rows of points with their intervals, on one axis; a row without points is a heading.
function ladder({ rows, name, reference = null, margin = null, low = null, high = null }) {
  const upwards = [...rows].reverse();
  const marks = new Map(rows.flatMap((row) => row.points.map(({ mark }) => [mark.label, mark])));
  const most = Math.max(1, ...rows.map((row) => row.points.length));
  const gap = 0.62 / most;
  const ends = [reference, margin].filter((value) => value !== null);
  for (const { estimate: found } of rows.flatMap((row) => row.points)) if (found) ends.push(found.low ?? found.mean, found.high ?? found.mean);
  const room = 0.03 * (Math.max(...ends) - Math.min(...ends)) || 0.01;
  const [first, last] = [Math.max(low ?? -Infinity, Math.min(...ends) - room), Math.min(high ?? Infinity, Math.max(...ends) + room)].map((end) => Number(end.toPrecision(3)));
  const within = (value) => Math.min(last, Math.max(first, value));
  const line = (at, type) => ({ xAxis: at, lineStyle: { color: colour("muted"), type, width: 1 } });
  const series = [...marks.values()].map((mark, order) => {
    const points = upwards.flatMap((row, at) => row.points.flatMap((point, place) => (point.mark.label === mark.label && point.estimate ? [[point.estimate, at + (row.points.length / 2 - place - 0.5) * gap]] : [])));
    const bars = points.filter(([found]) => found.low !== null).map(([found, y]) => [{ coord: [within(found.low), y] }, { coord: [within(found.high), y] }]);
    const fixed = order ? [] : [...(reference === null ? [] : [line(reference, "solid")]), ...(margin === null ? [] : [line(margin, "dashed")])];
    return {
      name: word(mark.label),
      type: "scatter",
      symbolSize: 9,
      silent: true,
      data: points.map(([found, y]) => [within(found.mean), y]),
      itemStyle: mark.personal ? { color: colour("paper"), borderColor: look(mark).color, borderWidth: 2 } : { color: look(mark).color },
      markLine: { symbol: "none", silent: true, label: { show: false }, lineStyle: { color: look(mark).color, type: "solid", width: 1.4 }, data: [...bars, ...fixed] },
    };
  });
  const longest = Math.max(...rows.map((row) => row.name.length));
  return plain({
    grid: { left: Math.min(250, 24 + 6.6 * longest), right: 24, top: marks.size > 1 ? 36 : 12, bottom: 40 },
    legend: { top: 0, left: 0, show: marks.size > 1, textStyle: { color: colour("muted") } },
    tooltip: { show: false },
    xAxis: axis(name, { scale: true, min: first, max: last, axisLine: { onZero: false, lineStyle: { color: colour("faint") } }, axisLabel: { color: colour("muted"), showMinLabel: false, showMaxLabel: false, formatter: written } }),
    yAxis: axis("", { min: -0.6, max: rows.length - 0.4, interval: 1, axisLine: { onZero: false, show: false }, axisLabel: { color: colour("ink"), width: 226, overflow: "truncate", formatter: (value) => upwards[Math.round(value)]?.name ?? "", customValues: upwards.map((_, at) => at) }, axisTick: { show: false }, splitLine: { show: false } }),
    series,
  });
}

// Seconds of each round: until the last site had answered, and until the next model was stored.
function times(one) {
  const part = (name, values, tint) => ({ name, type: "bar", stack: "round", data: pairs(one.rounds, values), barMaxWidth: 26, itemStyle: { color: tint } });
  return plain({
    legend: { top: 0, left: 0, textStyle: { color: colour("muted") }, itemWidth: 14 },
    grid: { left: 48, right: 24, top: 34, bottom: 40 },
    xAxis: axis(word("round"), { minInterval: 1, min: "dataMin", max: "dataMax", boundaryGap: ["4%", "4%"] }),
    yAxis: axis("", { axisLabel: { color: colour("muted"), formatter: (value) => `${value.toLocaleString(LOCALE)} s` } }),
    series: [part(word("sites train"), one.train, colour("arm-0")), part(word("the hub sums"), one.sum, colour("arm-1"))],
  });
}

function dots(view) {
  const told = (row) => (row.dots.length && row.dots.every((dot) => !dot.estimate) ? `${row.name} (${word(row.dots[0].text)})` : row.name);
  const rows = view.rows.map((row) => ({ name: told(row), points: row.dots }));
  return ladder({ ...view, rows, name: word(view.values) });
}

function compared(rows) {
  const named = rows.map(({ first, second, result }) => ({ name: `${word(first.label)} − ${word(second.label)}`, points: [{ mark: first, estimate: result.difference }] }));
  return ladder({ rows: named, name: word("difference (95 % interval)"), reference: 0 });
}

const KINDS = { panel, calibration, forest, dots, compared, times };
const LADDERS = { forest: (view) => view.rows.length + 1, dots: (view) => view.rows.length, compared: (rows) => rows.length };

function draw(place, numbers) {
  let chart = drawn.get(place.id);
  const rows = LADDERS[place.dataset.kind]?.(numbers);
  if (rows) place.style.height = `${84 + 40 * rows}px`;
  if (!chart || chart.getDom() !== place) {
    chart?.dispose();
    chart = echarts.init(place, null, { renderer: "svg" });
    drawn.set(place.id, chart);
  }
  chart.setOption(KINDS[place.dataset.kind](numbers), true);
}

function draw_all(within = document) {
  for (const found of within.querySelectorAll("script.numbers")) {
    const numbers = JSON.parse(found.textContent);
    const name = found.dataset.for;
    if (!name.endsWith("-")) draw(document.getElementById(name), numbers);
    else numbers.forEach((one, at) => draw(document.getElementById(`${name}${at}`), one));
  }
}

// Once all scripts of the page are there, which may know kinds of charts of their own.
addEventListener("DOMContentLoaded", () => draw_all());
// A part that comes anew with the same charts keeps them: only their numbers are taken from it, and drawn as often as can
// be looked at. To make charts anew for each event would leave a slow machine no time for a click.
const OFTEN = 400;
const renewed = new Set();
let drawing = 0;
let finished = 0;

function places(root) {
  return [...root.querySelectorAll(".chart")].map((place) => `${place.id} ${place.getAttribute("aria-label")}`).join();
}

function soon(part) {
  renewed.add(part.id);
  if (drawing) return;
  drawing = setTimeout(() => {
    const parts = [...renewed].map((id) => document.getElementById(id)).filter(Boolean);
    renewed.clear();
    parts.forEach((one) => draw_all(one));
    [drawing, finished] = [0, performance.now()];
  }, Math.max(0, finished + OFTEN - performance.now()));
}

document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
  const [old, fresh] = [detail.target.querySelector("script.numbers"), detail.fragment.querySelector("script.numbers")];
  if (!old || !fresh || places(detail.target) !== places(detail.fragment)) return;
  old.textContent = fresh.textContent;
  detail.target.querySelector(".once")?.replaceWith(detail.fragment.querySelector(".once"));
  detail.shouldSwap = false;
  soon(detail.target);
});
document.addEventListener("htmx:oobAfterSwap", ({ target }) => { if (target.querySelector?.("script.numbers")) soon(target); });
addEventListener("resize", () => drawn.forEach((chart) => chart.resize()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw_all());

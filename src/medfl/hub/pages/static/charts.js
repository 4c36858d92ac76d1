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

function axis(name, more) {
  return {
    name,
    nameLocation: "middle",
    nameGap: 28,
    type: "value",
    nameTextStyle: { color: colour("muted") },
    axisLabel: { color: colour("muted") },
    axisLine: { lineStyle: { color: colour("faint") } },
    splitLine: { lineStyle: { color: colour("rule"), opacity: 0.6 } },
    ...more,
  };
}

function pairs(x, y) {
  return x.map((value, place) => [value, y[place]]);
}

function panel(numbers) {
  const series = numbers.lines.map((line) => ({
    name: line.name,
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
    if (first) first.markLine = { symbol: "none", silent: true, data: [{ yAxis: value }], lineStyle: look(mark), label: { formatter: mark.label, position: "insideEndTop", color: colour("muted") } };
  }
  const named = numbers.lines.filter((line) => !line.faint).map((line) => line.name);
  return plain({
    grid: { left: 48, right: 24, top: named.length > 1 ? 52 : 34, bottom: 40 },
    title: { text: numbers.title, left: 0, top: 0, padding: [3, 0], textStyle: { color: colour("ink"), fontSize: 13, fontWeight: 600 } },
    legend: { data: named, top: 18, left: 0, show: named.length > 1, textStyle: { color: colour("muted") } },
    xAxis: axis("round", { minInterval: 1 }),
    yAxis: axis("", { scale: true, max: ({ max }) => (numbers.metric && max <= 1 && max > 0.9 ? 1 : null) }),
    series,
  });
}

function roc(ways) {
  const chosen = Number(document.getElementById("way")?.value ?? 0);
  const series = ways.map((way) => ({
    name: way.mark.label,
    type: "line",
    step: false,
    showSymbol: false,
    data: way.specificity.map((value, place) => [1 - value, way.sensitivity[place]]),
    lineStyle: { width: 2.2, ...look(way.mark) },
    itemStyle: { color: look(way.mark).color },
  }));
  const at = standing(ways[chosen]);
  series.push({ name: "threshold", type: "scatter", symbolSize: 14, data: [[1 - at.specificity, at.sensitivity]], itemStyle: { color: look(ways[chosen].mark).color, borderColor: colour("paper"), borderWidth: 2 }, z: 9 });
  return plain({
    legend: { data: ways.map((way) => way.mark.label), top: 0, left: 0, textStyle: { color: colour("muted") } },
    tooltip: { show: false },
    xAxis: axis("1 − specificity", { min: 0, max: 1 }),
    yAxis: axis("sensitivity", { min: 0, max: 1 }),
    series,
  });
}

// The operating point of the lowest known threshold that is not below the one chosen.
function standing(way) {
  const cut = Number(document.getElementById("cut").value);
  let place = 0;
  while (place + 1 < way.thresholds.length && way.thresholds[place + 1] >= cut) place += 1;
  return { sensitivity: way.sensitivity[place], specificity: way.specificity[place], cut };
}

function share(part, whole) {
  return whole ? (part / whole).toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 }) : "–";
}

function told(way) {
  const { sensitivity, specificity, cut } = standing(way);
  const tp = Math.round(sensitivity * way.positives);
  const tn = Math.round(specificity * way.negatives);
  const [fn, fp] = [way.positives - tp, way.negatives - tn];
  const words = { tp, fn, fp, tn, sensitivity: share(tp, tp + fn), specificity: share(tn, tn + fp), ppv: share(tp, tp + fp), npv: share(tn, tn + fn) };
  for (const [name, value] of Object.entries(words)) document.getElementById(name).textContent = value.toLocaleString();
  document.getElementById("cut-value").textContent = cut.toLocaleString(undefined, { minimumFractionDigits: 3 });
}

function calibration(one) {
  const line = { name: one.mark.label, type: "line", data: pairs(one.predicted, one.observed), symbolSize: 7, lineStyle: { width: 2, ...look(one.mark) }, itemStyle: { color: look(one.mark).color } };
  const ideal = { name: "as promised", type: "line", silent: true, showSymbol: false, data: [[0, 0], [1, 1]], lineStyle: { color: colour("faint"), type: "dashed", width: 1 }, itemStyle: { color: colour("faint") } };
  const binary = one.edges.length > 0;
  return plain({
    xAxis: axis(binary ? "predicted risk" : "predicted", binary ? { min: 0, max: 1 } : { scale: true }),
    yAxis: axis("observed", binary ? { min: 0, max: 1 } : { scale: true }),
    series: binary ? [line, ideal] : [line],
  });
}

function forest(numbers) {
  const rows = [...numbers.rows, { ...numbers.pooled, site: "all sites" }].reverse();
  const ways = numbers.pooled.estimates.map(([mark]) => mark);
  const gap = 0.62 / Math.max(ways.length, 1);
  const ends = rows.flatMap((row) => row.estimates.flatMap(([, found]) => (found ? [found.low ?? found.mean, found.high ?? found.mean] : [])));
  const [lowest, highest] = [Math.floor(Math.min(...ends) * 50) / 50, numbers.metric === "rmse" || numbers.metric === "mae" ? Math.max(...ends) : Math.min(1, Math.max(...ends))];
  const within = (value) => Math.min(highest, Math.max(lowest, value));
  const series = ways.map((mark, place) => {
    const points = rows.map((row, at) => [row.estimates[place][1], at + (ways.length / 2 - place - 0.5) * gap]).filter(([found]) => found);
    return {
      name: mark.label,
      type: "scatter",
      symbolSize: 9,
      data: points.map(([found, y]) => [found.mean, y]),
      itemStyle: { color: look(mark).color },
      markLine: { symbol: "none", silent: true, label: { show: false }, lineStyle: { color: look(mark).color, type: "solid", width: 1.4 }, data: points.filter(([found]) => found.low !== null).map(([found, y]) => [{ coord: [within(found.low), y] }, { coord: [within(found.high), y] }]) },
    };
  });
  return plain({
    grid: { left: 130, right: 24, top: 36, bottom: 40 },
    tooltip: { show: false },
    xAxis: axis(numbers.metric.toUpperCase(), { scale: true, min: lowest, max: highest }),
    yAxis: axis("", { min: -0.6, max: rows.length - 0.4, interval: 1, axisLabel: { color: colour("ink"), formatter: (value) => rows[Math.round(value)]?.site ?? "", customValues: rows.map((_, at) => at) }, axisTick: { show: false }, splitLine: { show: false } }),
    series,
  });
}

// Seconds of each round: until the last site had answered, and until the next model was stored.
function times(one) {
  const part = (name, values, tint) => ({ name, type: "bar", stack: "round", data: pairs(one.rounds, values), barMaxWidth: 26, itemStyle: { color: tint } });
  return plain({
    legend: { top: 0, left: 0, textStyle: { color: colour("muted") }, itemWidth: 14 },
    grid: { left: 48, right: 24, top: 34, bottom: 40 },
    xAxis: axis("round", { minInterval: 1, min: "dataMin", max: "dataMax", boundaryGap: ["4%", "4%"] }),
    yAxis: axis("", { axisLabel: { color: colour("muted"), formatter: "{value} s" } }),
    series: [part("sites train", one.train, colour("arm-0")), part("the hub sums", one.sum, colour("arm-1"))],
  });
}

const KINDS = { panel, roc, calibration, forest, times };

function draw(place, numbers) {
  let chart = drawn.get(place.id);
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

function moving() {
  const found = document.querySelector('script.numbers[data-for="roc"]');
  if (!found) return;
  const ways = JSON.parse(found.textContent);
  const [cut, way] = [document.getElementById("cut"), document.getElementById("way")];
  cut.value = ways[0].used ?? 0.5;
  const tell = () => { told(ways[Number(way?.value ?? 0)]); draw(document.getElementById("roc"), ways); };
  cut.addEventListener("input", tell);
  way?.addEventListener("change", () => { cut.value = ways[Number(way.value)].used ?? 0.5; tell(); });
  tell();
}

moving();
draw_all();
document.addEventListener("htmx:oobAfterSwap", (event) => { if (event.target.querySelector?.("script.numbers")) draw_all(event.target); });
addEventListener("resize", () => drawn.forEach((chart) => chart.resize()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw_all());

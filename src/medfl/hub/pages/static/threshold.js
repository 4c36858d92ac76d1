// Moves a threshold: the point on three curves, the confusion matrix and what follows from it, together.
"use strict";

{
  const control = (name) => document.getElementById(name);
  const ways = JSON.parse(document.querySelector('script.numbers[data-for="roc"]').textContent);
  const chosen = () => ways[Number(control("way")?.value ?? 0)];

  // What the threshold chosen does: the operating point of the lowest known threshold that is not below it.
  function standing() {
    const way = chosen();
    const cut = Number(control("cut").value);
    let place = 0;
    while (place + 1 < way.thresholds.length && way.thresholds[place + 1] >= cut) place += 1;
    const tp = Math.round(way.sensitivity[place] * way.positives);
    const tn = Math.round(way.specificity[place] * way.negatives);
    const [fn, fp] = [way.positives - tp, way.negatives - tn];
    const benefit = cut < 1 ? (tp - (fp * cut) / (1 - cut)) / (way.positives + way.negatives) : null;
    return { cut, tp, fn, fp, tn, benefit };
  }

  function along(lines) {
    return lines.map((line) => ({
      name: word(line.name),
      type: "line",
      symbol: "none",
      silent: true,
      data: pairs(line.x, line.y),
      lineStyle: { width: 2.2, ...look(line.mark) },
      itemStyle: { color: look(line.mark).color },
    }));
  }

  function here(x, y) {
    const colours = { color: look(chosen().mark).color, borderColor: colour("paper"), borderWidth: 2 };
    return { name: word("threshold"), type: "scatter", silent: true, symbolSize: 14, data: y === null ? [] : [[x, y]], itemStyle: colours, z: 9 };
  }

  function level(name, data, dashes = "solid") {
    return { name, type: "line", symbol: "none", silent: true, data, lineStyle: { width: 1.2, color: colour("faint"), type: dashes }, itemStyle: { color: colour("faint") }, z: 1 };
  }

  function curve(title, [x, y], series, more) {
    return plain({
      grid: { left: 52, right: 20, top: series.length > 6 ? 82 : 62, bottom: 40 },
      title: { text: title, left: 0, top: 0, padding: [3, 0], textStyle: { color: colour("ink"), fontSize: 13, fontWeight: 600 } },
      legend: { data: series.filter((one) => one.type === "line").map((one) => one.name), top: 22, left: 0, textStyle: { color: colour("muted") }, itemWidth: 22 },
      tooltip: { show: false },
      xAxis: axis(x, { min: 0, max: 1 }),
      yAxis: axis(y, { min: 0, max: 1, nameGap: 36, ...more }),
      series,
    });
  }

  Object.assign(KINDS, {
    roc() {
      const at = standing();
      const lines = ways.map((way) => ({ mark: way.mark, name: way.mark.label, x: way.specificity.map((value) => 1 - value), y: way.sensitivity }));
      const point = here(at.fp / chosen().negatives, at.tp / chosen().positives);
      return curve(word("ROC curve"), [word("1 − specificity"), word("sensitivity")], [...along(lines), level(word("guessing"), [[0, 0], [1, 1]]), point]);
    },
    precision(found) {
      const at = standing();
      const series = along(found.lines);
      if (found.prevalence !== null) series.push(level(word("guessing"), [[0, found.prevalence], [1, found.prevalence]]));
      const point = here(at.tp / chosen().positives, at.tp + at.fp ? at.tp / (at.tp + at.fp) : null);
      return curve(word("Precision and recall"), [word("recall (sensitivity)"), word("precision (PPV)")], [...series, point]);
    },
    decision(found) {
      const at = standing();
      const top = Math.max(0, ...found.everyone, ...found.lines.flatMap((line) => line.y)) || 1;
      const series = [...along(found.lines), level(word("treat everybody"), pairs(found.thresholds, found.everyone)), level(word("treat nobody"), [[0, 0], [1, 0]], "dashed")];
      series.at(-1).lineStyle.type = "dashed";
      const point = here(at.cut, at.benefit);
      const [low, high] = [-0.15 * top, 1.1 * top].map((end) => Number(end.toPrecision(2)));
      point.data = point.data.map(([x, y]) => [x, Math.max(low, y)]);
      point.markLine = { symbol: "none", silent: true, label: { show: false }, lineStyle: { color: colour("muted"), type: "dotted" }, data: [{ xAxis: at.cut }] };
      series.forEach((one) => { one.clip = true; });
      return curve(word("Decision curve"), [word("threshold"), word("net benefit")], [...series, point], { min: low, max: high, axisLabel: { color: colour("muted"), showMinLabel: false, showMaxLabel: false, formatter: (value) => value.toLocaleString(LOCALE) } });
    },
  });

  function share(part, whole) {
    return whole ? (part / whole).toLocaleString(LOCALE, { style: "percent", maximumFractionDigits: 1 }) : "–";
  }

  function tell() {
    const { cut, tp, fn, fp, tn, benefit } = standing();
    const words = { tp, fn, fp, tn, sensitivity: share(tp, tp + fn), specificity: share(tn, tn + fp), ppv: share(tp, tp + fp), npv: share(tn, tn + fn) };
    words.benefit = benefit === null ? "–" : benefit.toLocaleString(LOCALE, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
    for (const [name, value] of Object.entries(words)) control(name).textContent = value.toLocaleString(LOCALE);
    control("cut").setAttribute("aria-valuetext", cut.toLocaleString(LOCALE, { maximumFractionDigits: 3 }));
  }

  function take(value) {
    control("cut").value = value;
    control("cut-value").value = Number(control("cut").value).toLocaleString(LOCALE, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
  }

  // With a comma or a point, whatever the language of the page; what is no number changes nothing.
  function typed() {
    const text = control("cut-value").value.trim().replace(",", ".");
    const value = Number(text);
    return text && Number.isFinite(value) ? value : control("cut").value;
  }

  function redraw() {
    tell();
    for (const found of document.querySelectorAll("#moving script.numbers")) draw(control(found.dataset.for), JSON.parse(found.textContent));
  }

  control("cut").addEventListener("input", () => { take(control("cut").value); redraw(); });
  control("cut-value").addEventListener("change", () => { take(typed()); redraw(); });
  control("way")?.addEventListener("change", () => { take(chosen().used ?? 0.5); redraw(); });
  control("cut-back").addEventListener("click", () => { take(chosen().used ?? 0.5); redraw(); });
  take(chosen().used ?? 0.5);
  tell();
}

// Draws every figure of the page in the colours of its style sheet, and again when the browser
// turns from light to dark. plotly is in the page itself, compressed.
(async () => {
  const packed = document.getElementById("plotly").textContent;
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);

  const plots = [...document.querySelectorAll(".plot")];
  const figures = plots.map((plot) => JSON.parse(plot.querySelector("script").textContent));
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function colour(value, style) {
    if (typeof value === "string" && /^\$[a-z]\w*$/.test(value)) {
      return style.getPropertyValue("--" + value.slice(1)).trim();
    }
    if (Array.isArray(value)) return value.map((part) => colour(part, style));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, colour(v, style)]));
    }
    return value;
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const axis = { gridcolor: "$rule", linecolor: "$rule", zeroline: false, fixedrange: true };
    plots.forEach((plot, number) => {
      const { data, layout } = figures[number];
      const base = {
        font: { family: "system-ui, sans-serif", size: 13, color: "$muted" },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        hoverlabel: { bgcolor: "$sheet", bordercolor: "$rule", font: { color: "$ink" } },
        dragmode: false, autosize: true,
      };
      const axes = Object.fromEntries(
        Object.keys({ xaxis: 0, yaxis: 0, ...layout })
          .filter((key) => /^[xy]axis/.test(key))
          .map((key) => [key, { ...axis, ...layout[key] }]),
      );
      const whole = colour({ ...base, ...layout, ...axes }, style);
      if (!plot.dataset.drawn) plot.replaceChildren();
      plot.dataset.drawn = "yes";
      Plotly.react(plot, colour(data, style), whole, { displayModeBar: false, responsive: true });
    });
  }

  draw();
  dark.addEventListener("change", draw);
})();

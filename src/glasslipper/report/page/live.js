// Makes each chart of the page answer the pointer, once it comes near the view. Where that fails,
// the drawing that stands there remains. Fetches nothing: its data stand beside each drawing.
const options = {
  mode: "vega-lite",
  renderer: "svg",
  actions: false,
  ast: true,
  defaultStyle: false,
  tooltip: { theme: "page", disableDefaultStyle: true },
};

async function enliven(chart) {
  const spec = JSON.parse(chart.nextElementSibling.textContent);
  const place = document.createElement("div");
  try {
    await vegaEmbed(place, spec, options);
  } catch (error) {
    console.error(`${spec.description}: ${error.message}`);
    return;
  }
  chart.replaceChildren(place);
  chart.dataset.live = "yes";
}

const near = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      enliven(entry.target);
    }
  },
  { rootMargin: "800px" },
);
for (const chart of document.querySelectorAll(".chart")) near.observe(chart);

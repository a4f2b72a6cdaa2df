// Light or dark: the reader's choice before the first paint, else as the system says.
(() => {
  const root = document.documentElement;
  const choices = ["system", "light", "dark"];
  let chosen = "system";
  try {
    chosen = localStorage.getItem("tidegate-theme") ?? chosen;
  } catch {
    // A browser that keeps nothing: the system's it is.
  }
  const show = (choice) => {
    chosen = choices.includes(choice) ? choice : "system";
    if (chosen === "system") delete root.dataset.theme;
    else root.dataset.theme = chosen;
  };
  show(chosen);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      document.getElementById("theme-name").textContent = chosen[0].toUpperCase() + chosen.slice(1);
    };
    label();
    button.addEventListener("click", () => {
      show(choices[(choices.indexOf(chosen) + 1) % choices.length]);
      label();
      try {
        localStorage.setItem("tidegate-theme", chosen);
      } catch {
        // It holds until the page is closed.
      }
      document.dispatchEvent(new Event("theme"));
    });
  });
})();

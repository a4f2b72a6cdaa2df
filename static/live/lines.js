// Lines to try in a terminal, with a button that copies them where the browser lets it.

/** Puts `lines`, pairs of what a line does and the line, into `box`. */
export function showLines(box, lines) {
  const list = document.createElement("div");
  list.className = "lines";
  for (const [what, text] of lines) {
    const line = document.createElement("div");
    line.className = "line";
    const code = line.appendChild(document.createElement("code"));
    code.textContent = text;
    code.tabIndex = 0;
    line.appendChild(document.createElement("p")).textContent = what;
    if (navigator.clipboard) line.append(copier(text, what));
    list.append(line);
  }
  box.replaceChildren(list);
}

function copier(text, what) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${what}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => (button.textContent = "Copy"), 1_500);
  });
  return button;
}

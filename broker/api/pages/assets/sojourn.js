"use strict";

const told = document.getElementById("told");

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
    told.textContent = "Copied to the clipboard.";
    setTimeout(() => {
      button.textContent = label;
      told.textContent = "";
    }, 2000);
  } catch {
    // No clipboard outside secure contexts: what is selected can be copied by hand.
    getSelection().selectAllChildren(source);
    told.textContent = "Selected; copy it with the keyboard.";
  }
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

for (const form of document.querySelectorAll("form[data-submit]")) form.requestSubmit();

// Asking: a question in front of the page, gone once it is answered.

/**
 * @param {{title: string, words: string, yes: string, no?: string}} question where there is no `no`, Escape says it
 * @param {HTMLElement} [field] between the words and the buttons
 * @returns {Promise<boolean>}
 */
export function agreed({ title, words, yes, no }, field) {
  const dialog = document.createElement("dialog");
  dialog.className = "ask";
  dialog.innerHTML = `<form method="dialog"><h2 id="ask-title"></h2><p></p>
    <div class="row"><button class="button primary" value="yes"></button><button class="button quiet" value="no" autofocus></button></div></form>`;
  dialog.setAttribute("aria-labelledby", "ask-title");
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("p").textContent = words;
  if (field) dialog.querySelector(".row").before(field);
  const [agrees, declines] = dialog.querySelectorAll("button");
  agrees.textContent = yes;
  if (no) declines.textContent = no;
  else declines.remove();
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes");
    });
  });
}

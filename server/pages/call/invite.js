// Inviting: a link for somebody, what it is good for, and its way into the clipboard.

import { callPath, ROOT, tell } from "../shared/api.js";
import { inWords } from "../shared/notices.js";
import { goodFor } from "./words.js";

const FORM = `<form method="dialog">
  <header><h2 id="invite-title">Invite</h2><button class="round small" value="close"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="m6 6 12 12M18 6 6 18"/></svg><span class="unseen">Close</span></button></header>
  <fieldset class="segments"><legend class="unseen">What for</legend>
    <label><input type="radio" name="role" value="member" checked><span>To talk</span></label>
    <label><input type="radio" name="role" value="viewer"><span>Only to watch</span></label></fieldset>
  <label class="field"><span>For how many</span><select name="uses"><option value="1">one person</option><option value="7">up to seven people</option><option value="100">up to a hundred people</option></select></label>
  <label class="field"><span>Good for</span><select name="seconds"><option value="3600">an hour</option><option value="86400" selected>a day</option><option value="604800">a week</option></select></label>
  <div class="link" hidden><label class="field"><span>Link</span><input readonly></label><button type="button" class="button" data-do="copy">Copy</button></div>
  <p class="hint" role="status"></p>
  <button type="button" class="button primary wide" data-do="make">Copy invitation link</button>
  <p class="notice bad" role="alert" hidden></p>
</form>`;

/** @param {string} call */
export function invite(call) {
  const dialog = Object.assign(document.createElement("dialog"), { className: "ask invite", innerHTML: FORM });
  dialog.setAttribute("aria-labelledby", "invite-title");
  document.body.append(dialog);
  const form = dialog.querySelector("form");
  const [field, hint, problem] = [dialog.querySelector(".link input"), dialog.querySelector(".hint"), dialog.querySelector(".notice")];
  const make = dialog.querySelector("[data-do=make]");
  const copy = async () => {
    field.select();
    const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
    return copied ? "Copied. " : "Copy the link above. "; // what is selected can still be copied by hand
  };
  make.addEventListener("click", async () => {
    make.disabled = true;
    problem.hidden = true;
    try {
      const asked = { role: form.role.value, uses: Number(form.uses.value), expires_in: Number(form.seconds.value) };
      const made = await tell(callPath(call, "/invitations"), "POST", asked);
      field.value = new URL(made.link, ROOT).href;
      dialog.querySelector(".link").hidden = false;
      hint.textContent = (await copy()) + goodFor(made.uses, made.expires, new Date());
      make.textContent = "Make another link";
      make.classList.remove("primary");
    } catch (failure) {
      problem.textContent = inWords(failure);
      problem.hidden = false;
    } finally {
      make.disabled = false;
    }
  });
  dialog.querySelector("[data-do=copy]").addEventListener("click", async () => (hint.textContent = await copy()));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  make.focus();
}

// Firefox on our pages: a call by camera or puppet, and what its viewer's page says. Tells each step as a line of JSON; ends the
// call when its standard input ends.
//
//     node foreign_firefox.mjs MODULES ADDRESS camera|puppet     a channel from the start page
//     node foreign_firefox.mjs MODULES ADDRESS call              a call from the start page: green room, table, mute, leave
import { createRequire } from "node:module";

const [modules, address, driver] = process.argv.slice(2);
const puppeteer = createRequire(`${modules}/`)("puppeteer-core");
const tell = (facts) => process.stdout.write(`${JSON.stringify(facts)}\n`);
const hungUp = new Promise((resolve) => process.stdin.on("end", resolve).resume());

const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath: process.env.FIREFOX,
  headless: true,
  extraPrefsFirefox: {
    "media.navigator.streams.fake": true,
    "media.navigator.permission.disabled": true,
    "media.peerconnection.ice.loopback": true,
    "media.peerconnection.ice.obfuscate_host_addresses": false,
    "media.autoplay.default": 0,
  },
});
try {
  await (driver === "call" ? sitDown() : goLive());
} finally {
  await browser.close();
}

async function sitDown() {
  const page = await opened(address);
  await press(page, "Start a call");
  await page.waitForFunction(() => document.querySelector("#mirror")?.dataset.on === "true" && document.querySelector("#driver-video").videoWidth > 0);
  await page.evaluate(() => {
    document.querySelector("#name").value = "Fox";
    document.querySelector("#agree").click();
  });
  await press(page, "Join the call");
  await page.waitForFunction(() => document.body.dataset.at === "call");
  tell({ step: "seated" });
  const settled = () => {
    const place = document.querySelector(".place");
    return place && (place.dataset.state === "live" || /H\.264/.test(place.innerText));
  };
  await page.waitForFunction(settled);
  tell({ step: "sees", words: await page.evaluate(() => document.querySelector(".place").innerText) });
  await page.evaluate(() => document.querySelector("#mute").click());
  await page.waitForFunction(() => document.querySelector("#mute").getAttribute("aria-pressed") === "true");
  tell({ step: "muted", words: await page.evaluate(() => document.querySelector("#mute").innerText) });
  await hungUp;
  await press(page, "Leave");
  await page.waitForFunction(() => document.body.dataset.at === "over");
  tell({ step: "left" });
}

async function goLive() {
  const page = await opened(address);
  await page.waitForFunction(() => document.querySelector("input[name=driver]:checked"));
  await page.evaluate((value) => document.querySelector(`input[name=driver][value=${value}]`).click(), driver);
  if (driver === "camera") await press(page, "Turn on camera");
  await page.waitForFunction(() => document.querySelector("#driver-video").videoWidth > 0);
  await page.evaluate(() => {
    const channel = document.querySelector("#channel");
    channel.value = "room";
    channel.dispatchEvent(new Event("input", { bubbles: true }));
    channel.dispatchEvent(new Event("change", { bubbles: true }));
  });
  await press(page, "Start");
  await page.waitForFunction(() => document.querySelector("#air").dataset.on === "true");
  tell({ step: "on air" });

  const viewer = await opened(`${address}view/room`);
  await viewer.waitForFunction(() => /H\.264|Live/.test(document.body.innerText));
  tell({ step: "viewed", words: await viewer.evaluate(() => document.body.innerText) });

  await hungUp;
  await page.bringToFront();
  await press(page, "Stop");
  await page.waitForFunction(() => document.querySelector("#air").dataset.on === "false");
  tell({ step: "off air" });
}

async function opened(where) {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => tell({ step: "error", words: String(error) }));
  await page.goto(where);
  return page;
}

async function press(page, words) {
  const named = (words) => [...document.querySelectorAll("button")].find((one) => one.innerText.trim() === words && !one.disabled);
  await page.waitForFunction(named, {}, words);
  await page.evaluate((words) => {
    [...document.querySelectorAll("button")].find((one) => one.innerText.trim() === words).click();
  }, words);
}

// The editor's page in a real browser: a file of the box is open in it.
const { chromium } = require("playwright-core");
const [port, picture] = process.argv.slice(1);
(async () => {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const page = await browser.newPage({ viewport: { width: 1100, height: 700 } });
  const file = JSON.stringify([["openFile", "vscode-remote:///root/work/hello.txt"]]);
  await page.goto(`http://127.0.0.1:${port}/?folder=/root/work&payload=${encodeURIComponent(file)}`, { timeout: 120000 });
  await page.waitForSelector(".monaco-workbench", { timeout: 120000 });
  const trust = page.getByRole("button", { name: /Yes, I trust/ });
  const shown = page.locator(".view-line", { hasText: "inside" });
  await trust.or(shown).first().waitFor({ timeout: 120000 });
  if (await trust.isVisible()) await trust.click();
  await shown.first().waitFor({ timeout: 120000 });
  await page.screenshot({ path: picture });
  console.log((await shown.first().innerText()).replace(/\u00a0/g, " "));
  await browser.close();
})().catch((error) => (console.error(error), process.exit(1)));

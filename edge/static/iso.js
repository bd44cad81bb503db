// Uploads a file in parts under its SHA-256, and goes on where an upload broke off.
const $ = (id) => document.getElementById(id);
const PART = 8 << 20, TRIES = 8;

// SHA-256 (FIPS 180-4) a part at a time: the browser's own wants the whole file in memory.
const primes = (count) => {
  const found = [];
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p)) found.push(n);
  return found;
};
const bits = (x) => ((x % 1) * 2 ** 32) | 0;
const K = Int32Array.from(primes(64), (p) => bits(Math.cbrt(p)));
const W = new Int32Array(64);
const turn = (x, n) => (x >>> n) | (x << (32 - n));
const mix = (H, bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = 0; at < bytes.length; at += 64) {
    for (let i = 0; i < 16; i++) W[i] = view.getInt32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = W[i - 15], y = W[i - 2];
      W[i] = W[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + W[i - 7] +
        (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = H;
    for (let i = 0; i < 64; i++) {
      const s = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + W[i] | 0;
      const t = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c)) | 0;
      h = g; g = f; f = e; e = (d + s) | 0; d = c; c = b; b = a; a = (s + t) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => { H[i] += x; });
  }
};
const sha256 = async (file, told) => {
  const H = Int32Array.from(primes(8), (p) => bits(Math.sqrt(p)));
  let at = 0;
  for (; at + PART <= file.size; at += PART) {
    mix(H, new Uint8Array(await file.slice(at, at + PART).arrayBuffer()));
    told(at / file.size);
  }
  const rest = new Uint8Array(await file.slice(at).arrayBuffer());
  const last = new Uint8Array(Math.ceil((rest.length + 9) / 64) * 64);
  last.set(rest);
  last[rest.length] = 128;
  new DataView(last.buffer).setBigUint64(last.length - 8, BigInt(file.size) * 8n);
  mix(H, last);
  return [...H].map((x) => (x >>> 0).toString(16).padStart(8, 0)).join("");
};

const rest = (ms) => new Promise((done) => { setTimeout(done, ms); });
const sent = async (file, url, token, told) => {
  const ask = (method, more = {}, body) =>
    fetch(url, { method, body, headers: { "X-CSRF-Token": token, ...more } });
  for (let tries = 0, at = -1; tries < TRIES;) {
    try {
      if (at < 0) {
        const there = await ask("HEAD");
        if (there.ok) return "";
        at = Number(there.headers.get("Upload-Offset"));
      }
      const end = Math.min(at + PART, file.size), range = `bytes ${at}-${end - 1}/${file.size}`;
      const answer = await ask("PUT", { "Content-Range": range }, file.slice(at, end));
      if (answer.status === 201 || answer.status === 200) return "";
      if (!answer.ok && answer.status !== 409 && answer.status < 500) {
        return (await answer.json()).detail ?? `it was refused: ${answer.status}`;
      }
      if (answer.ok) tries = 0; else { tries++; await rest(1000 * tries); }
      at = answer.ok ? Number(answer.headers.get("Upload-Offset")) : -1;
      told(Math.max(at, 0) / file.size);
    } catch {
      at = -1;
      await rest(1000 * ++tries);
    }
  }
  return "the server cannot be reached";
};

const form = $("iso"), box = $("file"), bar = $("sent"), words = $("file-told");
const button = form.querySelector("button"), sum = form.elements["/isoSha256"];
for (const each of document.querySelectorAll("[data-upload]")) each.hidden = false;
box.addEventListener("change", async () => {
  const [file] = box.files;
  if (!file) return;
  const told = (word) => (share) => {
    bar.value = Math.floor(share * 100);
    words.textContent = `${word} ${file.name}: ${bar.value} %`;
  };
  button.disabled = box.disabled = true;
  bar.hidden = false;
  const found = await sha256(file, told("Reading"));
  const why = await sent(file, `/v1/blobs/${found}`, form.elements.csrf_token.value, told("Uploading"));
  button.disabled = box.disabled = false;
  bar.hidden = true;
  if (!why) sum.value = found;
  words.textContent = why ? `Not uploaded: ${why}` : `${file.name} is uploaded. Prepare it now.`;
});

// What made a picture, in its PNG file: the text chunk of kgen/provenance.py.

const HEADER_BYTES = 33; // the signature and the first chunk, IHDR

/** The data URL of a PNG, from another, with `made` as text chunk. */
export function taggedPng(url, made) {
  const png = atob(url.slice(url.indexOf(",") + 1));
  const escape = (letter) => `\\u${letter.charCodeAt().toString(16).padStart(4, "0")}`;
  const body = `tEXtkgen\0${JSON.stringify(made).replace(/[\u007f-\uffff]/g, escape)}`;
  const chunk = number(body.length - 4) + body + number(crc32(body));
  return `data:image/png;base64,${btoa(png.slice(0, HEADER_BYTES) + chunk + png.slice(HEADER_BYTES))}`;
}

/** Four bytes, the highest first. */
const number = (value) => String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte.charCodeAt();
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

// From a picture of any size to the pixels of training: what `cnntrain predict` does, number by
// number. A picture is {width, height, channels, pixels}, row by row, the channels of a pixel
// beside each other.
"use strict";

// Returns an RGBA picture, which is opaque, as grey (1 channel) or RGB (3). The weights of the
// three colours are those of Pillow (ITU-R 601-2).
function convertColors({ width, height, pixels }, channels) {
  const converted = new Uint8Array(width * height * channels);
  for (let i = 0, j = 0; i < pixels.length; i += 4) {
    if (channels === 1) {
      const sum = pixels[i] * 19595 + pixels[i + 1] * 38470 + pixels[i + 2] * 7471;
      converted[j++] = (sum + 0x8000) >> 16;
    } else {
      for (let c = 0; c < 3; c++) converted[j++] = pixels[i + c];
    }
  }
  return { width, height, channels, pixels: converted };
}

// Returns an RGB or grey picture as the network gets it: the frame says which part of a picture of
// another shape is shown, as dataset.resize has it.
function fitToFrame(picture, { height, width, channels, resize }) {
  const view = findView(picture, width, height, resize);
  const small = resample(picture, view.box, view.width, view.height);
  if (view.width === width && view.height === height) return small;
  const pixels = new Uint8Array(width * height * channels); // black bars
  const left = Math.floor((width - view.width) / 2), top = Math.floor((height - view.height) / 2);
  for (let row = 0; row < view.height; row++) {
    const length = view.width * channels;
    const line = small.pixels.subarray(row * length, (row + 1) * length);
    pixels.set(line, ((top + row) * width + left) * channels);
  }
  return { width, height, channels, pixels };
}

// Returns the box [left, top, right, bottom] of a picture to show, and the size to resize it to.
function findView(picture, width, height, resize) {
  const whole = [0, 0, picture.width, picture.height];
  if (resize === "stretch") return { box: whole, width, height };
  if (resize === "pad") {
    const scale = Math.min(width / picture.width, height / picture.height);
    const shrink = (length) => Math.max(1, roundHalfToEven(length * scale));
    return { box: whole, width: shrink(picture.width), height: shrink(picture.height) };
  }
  const scale = Math.min(picture.width / width, picture.height / height);
  const left = Math.max(0, (picture.width - width * scale) / 2);
  const top = Math.max(0, (picture.height - height * scale) / 2);
  const right = Math.min(picture.width, left + width * scale);
  const bottom = Math.min(picture.height, top + height * scale);
  return { box: [left, top, right, bottom], width, height };
}

function roundHalfToEven(x) {
  const down = Math.floor(x);
  return x - down === 0.5 ? down + (down % 2) : Math.round(x);
}

// Returns a picture resized by Pillow's antialiased bilinear filter: first along rows, then along
// columns. Bytes are rounded in between, as in Pillow; numbers of a Float32Array are not.
function resample(picture, [left, top, right, bottom], width, height) {
  const across = resampleAxis(picture, left, right, width);
  return transpose(resampleAxis(transpose(across), top, bottom, height));
}

// Returns a picture whose width is resized, from the part of it between `begin` and `end`.
function resampleAxis(picture, begin, end, size) {
  const { width, height, channels, pixels } = picture;
  if (size === width && begin === 0 && end === width) return picture;
  const isBytes = pixels instanceof Uint8Array, one = isBytes ? 2 ** 22 : 1;
  const resized = new pixels.constructor(size * height * channels);
  listFilters(width, begin, end, size).forEach(({ first, weights }, column) => {
    const factors = weights.map((w) => (isBytes ? Math.trunc(w * one + (w < 0 ? -0.5 : 0.5)) : w));
    for (let row = 0; row < height; row++) {
      for (let channel = 0; channel < channels; channel++) {
        let sum = isBytes ? one / 2 : 0;
        for (let k = 0, i = (row * width + first) * channels + channel; k < factors.length; k++) {
          sum += factors[k] * pixels[i];
          i += channels;
        }
        const number = isBytes ? Math.min(255, Math.max(0, Math.floor(sum / one))) : sum;
        resized[(row * size + column) * channels + channel] = number;
      }
    }
  });
  return { width: size, height, channels, pixels: resized };
}

// Returns for each output pixel the first input pixel that it sees, and the weights of these. The
// filter is a triangle, wider where the picture becomes smaller.
function listFilters(width, begin, end, size) {
  const scale = (end - begin) / size, support = Math.max(scale, 1);
  return Array.from({ length: size }, (_, place) => {
    const center = begin + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(width, Math.trunc(center + support + 0.5));
    const weights = Array.from({ length: last - first }, (_, k) => {
      const distance = Math.abs((k + first - center + 0.5) / support);
      return Math.max(0, 1 - distance);
    });
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

// Returns a picture with its rows as columns.
function transpose({ width, height, channels, pixels }) {
  const turned = new pixels.constructor(pixels.length);
  for (let row = 0, i = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      for (let channel = 0; channel < channels; channel++) {
        turned[(column * height + row) * channels + channel] = pixels[i++];
      }
    }
  }
  return { width: height, height: width, channels, pixels: turned };
}

// Sprites to numbers, numbers to pixels.
csmri.images = (() => {
  "use strict";
  const MAGMA = ["000004", "180f3d", "440f76", "721f81", "9e2f7f", "cd4071", "f1605d", "fd9668", "feca8d", "fcfdbf"];

  const grey = Array.from({ length: 256 }, (_, i) => [i, i, i]);
  const magma = Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (MAGMA.length - 1);
    const [low, high] = [MAGMA[Math.floor(at)], MAGMA[Math.ceil(at)]];
    return [0, 2, 4].map((k) => {
      const [a, b] = [low, high].map((hex) => parseInt(hex.slice(k, k + 2), 16));
      return Math.round(a + (b - a) * (at % 1));
    });
  });

  const decoded = new Map();

  // Levels of a sprite, frame by frame; each is decoded once.
  function levels(sprite, frames, height, width) {
    if (!decoded.has(sprite)) decoded.set(sprite, decode(sprite, frames, height, width));
    return decoded.get(sprite);
  }

  async function decode(sprite, frames, height, width) {
    const picture = new Image();
    picture.src = sprite.uri;
    await picture.decode();
    const canvas = document.createElement("canvas");
    canvas.width = picture.width;
    canvas.height = picture.height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const out = new Uint8Array(frames * height * width);
    let k = 0;
    for (let frame = 0; frame < frames; frame++) {
      const top = Math.floor(frame / sprite.columns) * height;
      const left = (frame % sprite.columns) * width;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) out[k++] = rgba[4 * ((top + y) * canvas.width + left + x)];
      }
    }
    return out;
  }

  // Value of every level, so that decoding a pixel is a look-up.
  const values = (sprite) => Float32Array.from({ length: 256 }, (_, level) => (level - sprite.zero) * sprite.step);

  // Draw value(pixel) of a grid through a window onto a canvas, enlarged smoothly by the browser.
  function paint(canvas, width, height, colours, black, white, value) {
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const scale = 255 / Math.max(white - black, 1e-6);
    for (let i = 0, k = 0; i < width * height; i++) {
      const level = Math.round(Math.min(Math.max((value(i) - black) * scale, 0), 255));
      const colour = colours[level];
      image.data[k++] = colour[0];
      image.data[k++] = colour[1];
      image.data[k++] = colour[2];
      image.data[k++] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  return { grey, magma, levels, values, paint };
})();

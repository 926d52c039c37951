// The page: a drawing or a photo goes in, and the answer of the network comes out.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(find(id).textContent);
  const facts = read("facts"), names = facts.class_names, { frame } = facts;
  const network = new Network(read("program"), find("weights").textContent.trim());
  const NOTHING = find("answer").textContent; // what it says before it has seen anything
  const SHOWN_CLASSES = 10;
  const ARROWS = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  };
  const PIXELATED_SIDE = 64; // smaller pictures are shown with their pixels as squares
  const QUICK = 100; // milliseconds: a network that answers in less does so while one draws
  let seen = null; // {picture, arrays, probabilities, found} of what is shown now
  let pictures = 0; // how many were given: a photo is decoded later, when it may not be the last
  let duration = 0; // milliseconds that the last answer took

  // Shows the classes without an answer: nothing of an earlier picture stays.
  function clearAnswer(text) {
    seen = null;
    find("note").hidden = true;
    find("answer").textContent = text;
    find("because").textContent = "";
    showClasses(names.map((_, n) => n));
    for (const part of document.querySelectorAll("#pictures, #heat-note")) part.hidden = true;
  }

  // Classifies an RGBA picture, and shows the answer.
  function classify(rgba) {
    const began = performance.now();
    const picture = fitToFrame(convertColors(rgba, frame.channels), frame);
    const arrays = network.run(picture.pixels);
    const probabilities = [...arrays[network.outputs.probabilities]];
    const order = names.map((_, n) => n).sort((a, b) => probabilities[b] - probabilities[a]);
    seen = { picture, arrays, probabilities, found: findClasses(order, probabilities, arrays) };
    find("note").hidden = true;
    showAnswer();
    showClasses(order);
    showPictures(order[0]);
    duration = performance.now() - began;
  }

  const isUnfamiliar = (arrays) => arrays[network.outputs.unfamiliarity][0] > 1;

  // Returns the likeliest class, or the set of labels of a calibrated network, or all labels found.
  function findClasses(order, probabilities, arrays) {
    const { calibration, thresholds } = facts;
    if (thresholds) return order.filter((n) => probabilities[n] >= thresholds[n]);
    if (!calibration) return order.slice(0, 1);
    if (isUnfamiliar(arrays)) return [];
    return order.filter((n) => probabilities[n] >= calibration.threshold);
  }

  function showAnswer() {
    const { probabilities, arrays, found } = seen, { calibration, thresholds } = facts;
    const words = found.map((n) => names[n]);
    let answer = `${words[0]}, ${formatPercent(probabilities[found[0]])}`, because = "";
    if (thresholds) {
      answer = words.join(", ") || "none of the labels";
    } else if (calibration) {
      answer = words.join(" or ") || "none of these";
      because = `Of pictures like those of its calibration ${formatPercent(calibration.coverage)}, `
        + "or more, have their class in this answer.";
      if (!found.length) because = "No class is likely enough.";
      if (isUnfamiliar(arrays)) because = "The picture is unlike those of training.";
    }
    find("answer").textContent = answer;
    find("because").textContent = because;
  }

  // Shows the classes, with their probabilities once a picture was seen; grey if none is found.
  function showClasses(order) {
    const { thresholds } = facts, rows = find("classes").tBodies[0];
    const share = (n) => (seen ? formatPercent(seen.probabilities[n]) : "");
    // Few classes keep their places, which is calmer while one draws.
    const isFew = order.length <= SHOWN_CLASSES;
    const shown = isFew ? names.map((_, n) => n) : order.slice(0, SHOWN_CLASSES);
    rows.replaceChildren(...shown.map((n) => {
      const row = document.createElement("tr");
      row.className = seen?.found.includes(n) ? "first" : "";
      const hasMaps = seen && network.outputs.maps !== undefined;
      const name = document.createElement(hasMaps ? "button" : "span");
      name.textContent = names[n];
      name.dataset.number = n;
      if (hasMaps) name.onclick = () => showPictures(n);
      row.insertCell().append(name);
      addNumber(row, share(n));
      if (thresholds) addNumber(row, formatPercent(thresholds[n]));
      const bar = document.createElement("div"), filled = document.createElement("div");
      bar.className = "bar";
      filled.style.width = share(n).replace(" ", "") || "0";
      bar.append(filled);
      row.insertCell().append(bar);
      return row;
    }));
    const hidden = order.length - shown.length;
    const rank = seen ? " are less likely" : "";
    find("others").textContent = hidden > 0 ? `${hidden} other classes${rank}.` : "";
    find("classes").classList.toggle("refused", seen?.found.length === 0);
  }

  function addNumber(row, text) {
    const cell = row.insertCell();
    cell.className = "n";
    cell.textContent = text;
  }

  // Shows what the network sees, and what of it speaks for class `target`.
  function showPictures(target) {
    const { picture, arrays } = seen, { width, height, channels, pixels } = picture;
    const size = `${width}×${height}`;
    paint(find("seen"), picture, (i) => {
      const colors = pixels.subarray(i * channels, (i + 1) * channels);
      return channels === 1 ? [colors[0], colors[0], colors[0]] : colors;
    }, `The picture as the network sees it, ${size} pixels`);
    find("seen-caption").textContent = `what it sees, ${size}`;
    find("pictures").hidden = false;
    if (network.outputs.maps === undefined) return;
    const map = network.computeGradCam(arrays, target), most = Math.max(...map);
    const [rows, columns] = network.shapes[network.outputs.maps];
    const whole = { width: columns, height: rows, channels: 1, pixels: map };
    const heat = resample(whole, [0, 0, columns, rows], width, height).pixels;
    const inferno = decodeBase64(facts.inferno);
    paint(find("heat"), picture, (i) => {
      const warmth = most > 0 ? heat[i] / most : 0, opacity = 0.65 * warmth;
      const grey = channels === 1 ? pixels[i]
        : 0.299 * pixels[3 * i] + 0.587 * pixels[3 * i + 1] + 0.114 * pixels[3 * i + 2];
      const place = 3 * Math.min(255, Math.floor(256 * warmth));
      return [0, 1, 2].map((c) => (1 - opacity) * grey + opacity * inferno[place + c]);
    }, `Where the network looks for ${names[target]}`);
    const what = most > 0 ? "what" : "nothing", speaks = seen.found.length ? "speaks" : "would speak";
    find("heat-caption").textContent = `${what} ${speaks} for ${names[target]}`;
    find("heat-note").hidden = false;
    for (const button of find("classes").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.number) === target));
    }
  }

  // Fills a canvas of the size of `picture`; `choose(i)` is the colour of pixel i.
  function paint(canvas, { width, height }, choose, label) {
    Object.assign(canvas, { width, height });
    canvas.className = Math.max(width, height) <= PIXELATED_SIDE ? "pixels" : "";
    canvas.setAttribute("aria-label", label);
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) image.data.set([...choose(i), 255], 4 * i);
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function formatPercent(share) {
    return `${(100 * share).toFixed(2)} %`;
  }

  // Photos: chosen, dropped or pasted.

  async function openPhoto(file) {
    const number = ++pictures, isLast = () => number === pictures;
    clearAnswer("Looking …");
    try {
      const rgba = await decodePhoto(file);
      setTimeout(() => isLast() && classify(rgba)); // not at once, so that "Looking …" is seen
    } catch (error) {
      if (!isLast()) return;
      clearAnswer(NOTHING);
      const name = `${file.name} is no picture that this browser can read`;
      find("note").textContent = `${name} (${error.message.replace(/\.$/, "")}).`;
      find("note").hidden = false;
    }
  }

  // Returns a photo as an RGBA picture: upright, and on white where it is transparent.
  async function decodePhoto(file) {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    return { width, height, pixels: context.getImageData(0, 0, width, height).data };
  }

  function openFirst(files) {
    if (files.length) openPhoto(files[0]);
  }

  find("file").addEventListener("change", (event) => openFirst(event.target.files));
  document.addEventListener("paste", (event) => openFirst(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    openFirst(event.dataTransfer.files);
  });

  clearAnswer(NOTHING);
  if (find("drawing")) prepareDrawing(find("drawing"));

  // Drawing, by pointer or by keyboard.

  function prepareDrawing(canvas) {
    const scale = Math.ceil(320 / Math.max(frame.width, frame.height));
    Object.assign(canvas, { width: frame.width * scale, height: frame.height * scale });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const pen = { x: canvas.width / 2, y: canvas.height / 2, isDown: false };
    let waiting = null; // the frame in which it answers next

    function clear() {
      cancelAnimationFrame(waiting);
      waiting = null;
      pictures++;
      pen.isDown = false;
      find("pen").hidden = true;
      context.fillStyle = `rgb(${facts.paper} ${facts.paper} ${facts.paper})`;
      context.fillRect(0, 0, canvas.width, canvas.height);
      clearAnswer(NOTHING);
    }

    function drawLine(x, y) {
      pictures++;
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = (find("pen-width").value / 100) * Math.max(canvas.width, canvas.height);
      context.strokeStyle = `rgb(${facts.ink} ${facts.ink} ${facts.ink})`;
      context.beginPath();
      context.moveTo(pen.x, pen.y);
      context.lineTo(x, y);
      context.stroke();
      Object.assign(pen, { x, y });
      if (duration < QUICK) answerSoon();
    }

    function answerSoon() {
      waiting ??= requestAnimationFrame(() => { // one answer to many moves
        waiting = null;
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        classify({ width: canvas.width, height: canvas.height, pixels: data });
      });
    }

    function findPlace(event) {
      const box = canvas.getBoundingClientRect(), scaled = canvas.width / box.width;
      return [(event.clientX - box.left) * scaled, (event.clientY - box.top) * scaled];
    }

    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      find("pen").hidden = true;
      [pen.x, pen.y] = findPlace(event);
      drawLine(pen.x, pen.y);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) drawLine(...findPlace(event));
    });
    canvas.addEventListener("pointerup", answerSoon);
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "Escape") clear();
      else if (event.key === " ") turnPen();
      else if (event.key in ARROWS) movePen(...ARROWS[event.key]);
      else return;
      event.preventDefault();
    });

    // Puts the pen of the keyboard down, or lifts it.
    function turnPen() {
      pen.isDown = !pen.isDown;
      if (!pen.isDown) answerSoon();
      showPen();
    }

    function movePen(right, down) {
      const stride = canvas.width / 32;
      const x = Math.min(canvas.width, Math.max(0, pen.x + right * stride));
      const y = Math.min(canvas.height, Math.max(0, pen.y + down * stride));
      if (pen.isDown) drawLine(x, y);
      Object.assign(pen, { x, y });
      showPen();
    }

    function showPen() {
      const marker = find("pen");
      marker.hidden = false;
      marker.className = pen.isDown ? "down" : "";
      marker.style.left = `${(100 * pen.x) / canvas.width}%`;
      marker.style.top = `${(100 * pen.y) / canvas.height}%`;
    }

    find("clear").addEventListener("click", clear);
    clear();
  }
})();

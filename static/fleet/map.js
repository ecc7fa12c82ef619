// The page of the fleet's map. It asks the server for what is in view, when the map comes to rest, when the server says
// over its WebSocket that something has changed, and now and then in any case; never twice at once, and not at all
// while the page is not seen. What it has is shown until there is something newer. Words come from the page.
"use strict";
{
  const SETTLE = 180; // ms after the last movement of the map before it asks
  const HINTED = 2_000; // ms between two answers while the server says that things change
  const SLOWLY = 15_000; // ms between two answers nobody asked for, with the WebSocket …
  const ALONE = 5_000; // … and without it
  const PATIENCE = 10_000; // ms for an answer
  const STALE = 30_000; // ms without an answer after which the page says so
  const PAD = 0.3; // of the view on each side, so that a short drag finds what is there already
  const LISTED = 50;
  const FINAL = new Set([4401, 4403]); // nobody is logged in any more, or nobody of the staff

  const find = (id) => document.getElementById(id);
  const json = (id) => JSON.parse(find(id).textContent);
  const page = find("map-page");
  const words = json("map-words");
  const states = json("map-states");
  const { dataset } = page;
  const deepest = Number(dataset.deepest);
  const say = (text, values) => Object.entries(values).reduce((said, [name, value]) => said.replace(`%(${name})s`, value), text);
  const number = new Intl.NumberFormat(document.documentElement.lang);
  const clock = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

  // --- The map ---
  const map = L.map("map", {
    attributionControl: false, // the page shows whose map it is
    zoomControl: false, // below, in the reader's words
    minZoom: page.clientWidth < 700 ? 1 : 2, // Santiago and Sydney at once, on a telephone too
    maxZoom: deepest,
    worldCopyJump: true,
    maxBounds: [[-86, -Infinity], [86, Infinity]],
    maxBoundsViscosity: 0.8,
  });
  L.control.zoom({ zoomInTitle: words.zoom_in, zoomOutTitle: words.zoom_out }).addTo(map);
  L.control.scale({ imperial: false }).addTo(map);
  const layer = new FleetDots.Layer();
  layer.isBare = true;

  const note = find("map-note");
  if (dataset.tiles) {
    const tiles = L.tileLayer(dataset.tiles, {
      maxZoom: deepest,
      maxNativeZoom: 19,
      referrerPolicy: "strict-origin-when-cross-origin", // tile servers refuse whoever does not say who asks
    });
    let told = false;
    tiles.on("tileload", () => {
      if (!layer.isBare) return;
      layer.isBare = false;
      note.hidden = true;
      layer.repaint();
    });
    tiles.on("tileerror", () => {
      if (told || !layer.isBare) return;
      told = true;
      note.textContent = words.no_tiles;
      note.hidden = false;
      setTimeout(() => (note.hidden = true), 10_000);
    });
    tiles.addTo(map);
  }

  // --- What is filtered ---
  let params = new URLSearchParams(dataset.query);
  const form = find("map-filters");
  const readForm = () => {
    const read = new URLSearchParams();
    for (const field of form.elements) {
      if (!field.name || !field.value.trim()) continue;
      const chosen = field.selectedOptions?.[0];
      const values = chosen?.dataset.values ? JSON.parse(chosen.dataset.values) : [field.value];
      for (const value of values) read.append(field.name, value);
    }
    return read;
  };
  const showAddress = () => {
    find("map-as-list").href = `${dataset.listUrl}?${params}`;
    const { lat, lng } = map.getCenter();
    const place = fitNext ? "" : `#${map.getZoom()}/${lat.toFixed(5)}/${lng.toFixed(5)}`;
    history.replaceState(null, "", `${dataset.url}?${params}${place}`);
  };
  const filter = (place) => {
    params = readForm();
    closeCard();
    fitNext = place ?? fitNext;
    showAddress();
    ask();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    filter(find("map-filters").elements.q.value.trim() ? "all" : null);
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "q") return;
    filter(["city", "country", "plate"].includes(event.target.name) ? "all" : null);
  });
  find("map-more").addEventListener("click", (event) => {
    const all = form.classList.toggle("has-all");
    event.currentTarget.setAttribute("aria-expanded", String(all));
  });

  // --- What the server answers ---
  let answer = null; // the last one
  let answeredFor = null; // its box, as Leaflet has it, and its zoom
  let tag = null; // {url, etag}
  let fitNext = "all"; // where the next answer takes the map: to "all" that is filtered, or nowhere
  let asking = false;
  let again = false;
  let asked = 0;
  let updated = null;
  let timer = null;
  let settle = null;
  let failures = 0;

  const view = () => {
    const box = map.getBounds().pad(PAD);
    const round = (degrees, how) => (how(degrees * 10_000) / 10_000).toFixed(4);
    return {
      west: round(box.getWest(), Math.floor),
      south: round(Math.max(-90, box.getSouth()), Math.floor),
      east: round(box.getEast(), Math.ceil),
      north: round(Math.min(90, box.getNorth()), Math.ceil),
      zoom: map.getZoom(),
    };
  };
  const plan = (pause) => {
    clearTimeout(timer);
    timer = setTimeout(ask, Math.max(0, pause));
  };
  const planNext = () => {
    const usual = isOpen() ? SLOWLY : ALONE;
    plan(answer && !answer.fresh && !failures ? 1_000 : Math.min(usual * 2 ** failures, STALE));
  };

  const ask = async () => {
    clearTimeout(timer);
    if (document.hidden || leaving) return; // asked for when the page is seen again
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    again = false;
    asked = Date.now();
    const asker = params;
    const box = map.getBounds().pad(PAD);
    const zoom = map.getZoom();
    const query = new URLSearchParams(params);
    if (!fitNext) for (const [name, value] of Object.entries(view())) query.set(name, value);
    const url = `${dataset.dataUrl}?${query}`;
    page.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(url, {
        headers: { Accept: "application/json", ...(tag?.url === url ? { "If-None-Match": tag.etag } : {}) },
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE),
      });
      // Sent elsewhere, as where the session has ended, or not let in any more: the whole page is to say so.
      if (response.redirected || response.status === 403) return location.reload();
      if (response.status === 304) {
        if (answer.fresh) heard(Date.now());
      } else if (response.ok) {
        const got = await response.json();
        tag = { url, etag: response.headers.get("ETag") };
        heard(Date.now() - (got.fresh ? 0 : 1000 * got.age)); // no clock but ours: the server's may go otherwise
        if (asker === params) take(got, box, zoom); // else it was filtered otherwise meanwhile, and is asked again
      } else {
        failures += 1;
      }
    } catch {
      failures += 1; // no answer, or half of one: what is shown stays
    } finally {
      asking = false;
      page.removeAttribute("aria-busy");
      if (again) ask();
      else planNext();
    }
  };
  const heard = (at) => {
    failures = 0;
    updated = new Date(at);
    find("map-when").textContent = say(words.updated, { time: clock.format(updated) });
    showStale();
  };
  const stale = find("map-stale");
  const showStale = () => {
    const isOld = !document.hidden && asked && Date.now() - (updated ?? started) > STALE;
    const text = isOld ? (updated ? say(words.stale, { time: clock.format(updated) }) : words.never) : "";
    if (stale.textContent !== text) stale.textContent = text;
    stale.hidden = !isOld;
    page.classList.toggle("is-stale", Boolean(isOld));
  };
  const started = Date.now();

  const take = (got, box, zoom) => {
    answer = got.count === undefined && answer ? { ...got, count: answer.count, vehicles: answer.vehicles, cells: answer.cells } : got;
    showFleet();
    if (fitNext) {
      fitNext = null;
      fit(got.cities);
      clearTimeout(settle);
      again = true; // now that the map knows where it is
      return;
    }
    answeredFor = { box, zoom };
    const vehicles = answer.vehicles.map(([id, lat, lng, standing, plate, battery, state, city]) => ({ id, lat, lng, standing, plate, battery, state, city }));
    answer.dots = vehicles;
    const cells = (answer.cells ?? []).map(([lat, lng, counts]) => ({ lat, lng, counts, count: counts.reduce((sum, one) => sum + one, 0) }));
    layer.setDots(answer.cells ? [] : vehicles, cells);
    showList();
    if (shown) loadCard(shown, false);
  };

  // --- The cities beside the map ---
  const placed = (cities) => cities.filter((city) => city.extent);
  const fit = (cities) => {
    const all = placed(cities).flatMap(({ extent: [west, south, east, north] }) => [[south, west], [north, east]]);
    if (all.length) goTo(all);
  };
  const goTo = (places) => map.fitBounds(L.latLngBounds(places), { maxZoom: 15, padding: [30, 30], animate: false });
  const sum = (counts, ...standings) => standings.reduce((total, one) => total + counts[one], 0);
  const cell = (text, name = "td", kind = "n") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const showFleet = () => {
    const total = answer.total;
    for (const [standing, count] of answer.counts.entries()) document.querySelector(`[data-count="${standing}"]`).textContent = number.format(count);
    find("map-total").textContent = total ? "" : words.nothing_at_all;
    const unplaced = find("map-unplaced");
    unplaced.hidden = !answer.unplaced;
    unplaced.textContent = say(words.unplaced, { count: number.format(answer.unplaced) });
    const list = new URLSearchParams(params);
    list.set("position", "-");
    unplaced.href = `${dataset.listUrl}?${list}`;
    const focused = document.activeElement?.dataset?.city;
    const cities = [...answer.cities].sort((one, other) => sum(other.counts, 0, 1, 2, 3, 4, 5) - sum(one.counts, 0, 1, 2, 3, 4, 5));
    const rows = cities.map((city) => {
      const row = document.createElement("tr");
      const name = city.name || words.no_city;
      const head = document.createElement("th");
      head.scope = "row";
      if (city.extent) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "map-name";
        button.textContent = name;
        button.title = say(words.zoom_to, { city: name });
        button.dataset.city = `${city.country}/${city.name}`;
        const [west, south, east, north] = city.extent;
        button.addEventListener("click", () => goTo([[south, west], [north, east]]));
        head.append(button);
      } else head.textContent = name;
      const { counts } = city;
      const figures = [sum(counts, 0, 1, 2, 3, 4, 5), sum(counts, 0, 1, 2), counts[3], counts[4]];
      row.append(head, ...figures.map((figure) => cell(number.format(figure))));
      return row;
    });
    find("map-cities").replaceChildren(...rows);
    if (focused) find("map-cities").querySelector(`[data-city="${CSS.escape(focused)}"]`)?.focus();
    layer.setLabels(
      placed(cities).map(({ name, extent: [west, south, east, north] }) => ({ text: name, lat: (south + north) / 2, lng: (west + east) / 2 })),
    );
  };
  find("map-fit").addEventListener("click", () => answer && fit(answer.cities));

  // --- The vehicles in view, for those who do not point at a map ---
  const legend = (standing) => document.querySelector(`#map-legend li:nth-child(${standing + 1}) span`).textContent;
  const sign = (standing) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 32;
    canvas.dataset.standing = standing;
    canvas.setAttribute("aria-hidden", "true");
    paintSign(canvas);
    return canvas;
  };
  const paintSign = (canvas) => {
    canvas.width = canvas.height = 32;
    const ctx = canvas.getContext("2d");
    ctx.scale(2, 2);
    FleetDots.shape(ctx, Number(canvas.dataset.standing), 8, 8, 5, FleetDots.colours());
  };
  const nameButton = (dot) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "map-name";
    button.dataset.vehicle = dot.id;
    button.textContent = dot.plate || dot.id;
    button.addEventListener("click", () => choose(dot, button));
    return button;
  };
  const turned = (lng) => lng + 360 * Math.round((map.getCenter().lng - lng) / 360);
  const showList = () => {
    if (!answer?.dots) return;
    const seen = map.getBounds();
    const inView = answer.cells ? answer.dots : answer.dots.filter((dot) => seen.contains([dot.lat, turned(dot.lng)]));
    const count = answer.cells ? answer.count : inView.length;
    const listed = inView.slice(0, LISTED);
    const text = count > listed.length ? words.in_view_first : count ? words.in_view : words.nothing;
    find("map-in-view").textContent = say(text, { count: number.format(count), shown: listed.length });
    const focused = document.activeElement?.dataset?.vehicle;
    const rows = listed.map((dot) => {
      const row = document.createElement("tr");
      row.classList.toggle("is-chosen", dot.id === shown);
      const head = document.createElement("th");
      head.scope = "row";
      head.append(nameButton(dot));
      if (dot.plate) head.append(" ", cell(dot.id, "span", "mut small"));
      const standing = cell("", "td", "");
      standing.append(sign(dot.standing), " ", legend(dot.standing));
      row.append(
        head,
        cell(dot.city || "–", "td", ""),
        cell(states[dot.state] ?? dot.state, "td", ""),
        cell(dot.battery === null ? words.unknown : `${dot.battery} %`, "td", ""),
        standing,
      );
      return row;
    });
    find("map-rows").replaceChildren(...rows);
    if (focused) find("map-rows").querySelector(`[data-vehicle="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };

  // --- The card ---
  const aside = find("map-aside");
  const content = find("map-aside-content");
  let shown = null; // the id of the vehicle whose card it is
  let opener = null;
  const choose = (dot, from) => {
    opener = from ?? null;
    shown = layer.selected = dot.id;
    const isFar = !map.getBounds().contains([dot.lat, turned(dot.lng)]);
    if (from && (isFar || answer.cells)) map.setView([dot.lat, dot.lng], Math.max(map.getZoom(), 16), { animate: false });
    if (from) aside.closest(".map-card").scrollIntoView({ block: "nearest" });
    layer.repaint();
    for (const row of find("map-rows").children) row.classList.toggle("is-chosen", row.querySelector("button").dataset.vehicle === shown);
    loadCard(dot.id, true);
  };
  const loadCard = async (id, isNew) => {
    try {
      const response = await fetch(`${dataset.url}vehicles/${encodeURIComponent(id)}/`, { signal: AbortSignal.timeout(PATIENCE) });
      if (response.redirected || response.status === 403) return location.reload();
      if (!response.ok && response.status !== 404) throw new Error(String(response.status));
      const text = await response.text();
      if (shown !== id) return;
      if (content.dataset.text !== text) {
        // Made by our own template, which escapes what it is given.
        const focus = !isNew && content.contains(document.activeElement);
        content.innerHTML = text;
        content.dataset.text = text;
        if (focus) content.querySelector("a")?.focus();
      }
    } catch {
      if (!isNew || shown !== id) return;
      content.textContent = words.gone;
    }
    openAside(isNew);
  };
  const openAside = (isNew) => {
    aside.hidden = false;
    if (isNew && opener) (content.querySelector("h2") ?? aside).focus({ preventScroll: true });
  };
  const closeCard = () => {
    if (aside.hidden) return;
    aside.hidden = true;
    shown = layer.selected = null;
    delete content.dataset.text;
    content.replaceChildren();
    layer.repaint();
    for (const row of find("map-rows").children) row.classList.remove("is-chosen");
    if (opener?.dataset?.vehicle) {
      find("map-rows").querySelector(`[data-vehicle="${CSS.escape(opener.dataset.vehicle)}"]`)?.focus({ preventScroll: true });
    }
    opener = null;
  };
  /** Several vehicles in one place, or a cluster that no zoom takes apart. */
  const showMany = (heading, items) => {
    shown = layer.selected = null;
    delete content.dataset.text;
    const title = cell(heading, "h2", "");
    title.tabIndex = -1;
    const list = document.createElement("ul");
    list.append(...items);
    content.replaceChildren(title, list);
    opener = null;
    openAside(true);
  };
  const itemOf = (dot) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.append(sign(dot.standing), " ", cell(dot.plate || dot.id, "b", ""), " ", cell(legend(dot.standing), "span", "mut small"));
    button.addEventListener("click", () => choose(dot));
    item.append(button);
    return item;
  };
  find("map-close").addEventListener("click", closeCard);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !aside.hidden) closeCard();
  });

  const isDeepest = () => map.getZoom() >= deepest;
  map.on("click", ({ containerPoint }) => {
    const { dots, cell: cluster } = layer.at(containerPoint);
    if (dots.length === 1) choose(dots[0]);
    else if (dots.length) {
      const items = dots.slice(0, 12).map(itemOf);
      if (dots.length > items.length) items.push(cell(say(words.more, { count: number.format(dots.length - items.length) }), "li", "mut small"));
      showMany(say(words.cluster, { count: number.format(dots.length) }), items);
    } else if (cluster && !isDeepest()) map.setView([cluster.lat, cluster.lng], Math.min(deepest, map.getZoom() + 2));
    else if (cluster) {
      const items = cluster.counts.flatMap((count, standing) => {
        if (!count) return [];
        const item = document.createElement("li");
        item.append(sign(standing), " ", `${legend(standing)}: ${number.format(count)}`);
        return [item];
      });
      showMany(say(words.cluster, { count: number.format(cluster.count) }), items);
    } else closeCard();
  });
  let pointed = 0;
  map.on("mousemove", ({ containerPoint }) => {
    if (pointed) return;
    pointed = requestAnimationFrame(() => {
      pointed = 0;
      const { dots, cell: cluster } = layer.at(containerPoint);
      map.getContainer().classList.toggle("is-pointing", Boolean(dots.length || cluster));
    });
  });

  // --- Where the map is ---
  map.on("moveend", () => {
    if (fitNext) return;
    showAddress();
    showList();
    clearTimeout(settle);
    // What is there already needs no asking: all vehicles one by one, around more than what is seen now.
    const isKnown = answer && answer.cells === null && answeredFor?.box?.contains(map.getBounds()) && map.getZoom() >= answeredFor.zoom;
    if (!isKnown) settle = setTimeout(ask, SETTLE);
  });

  // --- The theme ---
  const repaint = () => {
    layer.repaint();
    for (const canvas of document.querySelectorAll("#map-legend canvas, .map-list canvas, .map-aside canvas")) paintSign(canvas);
  };
  new MutationObserver(repaint).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

  // --- What the server says by itself ---
  let socket = null;
  let attempts = 0;
  let leaving = false;
  const isOpen = () => socket?.readyState === WebSocket.OPEN;
  const connect = () => {
    if (socket || document.hidden || leaving) return;
    const address = new URL(dataset.liveSocket, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    try {
      socket = new WebSocket(address);
    } catch {
      return; // not allowed here: the page goes on asking by itself
    }
    socket.addEventListener("message", (event) => {
      attempts = 0;
      if (JSON.parse(event.data).changed.includes("fleet")) plan(asked + HINTED - Date.now());
    });
    socket.addEventListener("close", (event) => {
      socket = null;
      if (FINAL.has(event.code)) return ask();
      if (leaving) return;
      const pause = Math.min(30_000, 1_000 * 2 ** attempts++);
      setTimeout(connect, pause * (0.5 + Math.random() / 2));
    });
  };
  window.addEventListener("pagehide", () => {
    leaving = true;
    socket?.close();
  });
  window.addEventListener("pageshow", (event) => {
    leaving = false;
    connect();
    if (event.persisted) ask();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return clearTimeout(timer);
    connect();
    ask();
  });
  setInterval(showStale, 1_000);

  const place = /^#(\d+(?:\.\d+)?)\/(-?\d+(?:\.\d+)?)\/(-?\d+(?:\.\d+)?)$/.exec(location.hash);
  if (place) {
    fitNext = null;
    map.setView([Number(place[2]), Number(place[3])], Math.min(deepest, Number(place[1])));
  } else map.setView([25, 0], 2);
  layer.addTo(map);
  repaint();
  connect();
  ask();
}

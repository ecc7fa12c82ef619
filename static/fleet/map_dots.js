// A canvas over Leaflet's map: vehicles as dots, whose colour and shape say how they stand, and clusters as counts in a
// ring of the same colours. Leaflet moves the canvas while a person drags; it is drawn again when the map comes to rest,
// or as soon as a drag has come past its edge.
"use strict";
window.FleetDots = (() => {
  const RADIUS = 6;
  const GLIDE = 700; // ms a vehicle takes to where it has moved
  const FINGER = 14; // px around a click in which a vehicle counts as meant
  const CELL = 64; // px, the width of the server's cells too
  const CROWD = 15; // more vehicles than that in one cell are a cluster …
  const APART = 14; // … up to this zoom; from there on streets are wide enough
  const TONES = ["--ok", "--ok", "--bad", "--warn", "--info", "--ink-3"];

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    return {
      tones: TONES.map(value),
      surface: value("--surface"),
      ink: value("--ink"),
      muted: value("--ink-3"),
      line: value("--line"),
    };
  };

  // --- Shapes: each standing has its own, for whoever cannot tell the colours apart ---
  const path = (ctx, standing, r) => {
    ctx.beginPath();
    if (standing <= 1) ctx.arc(0, 0, standing ? r * 0.85 : r, 0, 2 * Math.PI);
    else if (standing === 2) [[0, -r * 1.2], [r * 1.2, 0], [0, r * 1.2], [-r * 1.2, 0]].forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    else if (standing === 3) [[0, -r * 1.15], [r * 1.15, r * 0.85], [-r * 1.15, r * 0.85]].forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    else if (standing === 4) ctx.rect(-r * 0.85, -r * 0.85, r * 1.7, r * 1.7);
    else {
      const a = r * 0.8;
      ctx.moveTo(-a, -a);
      ctx.lineTo(a, a);
      ctx.moveTo(a, -a);
      ctx.lineTo(-a, a);
      return;
    }
    ctx.closePath();
  };
  const shape = (ctx, standing, x, y, r, paint) => {
    ctx.save();
    ctx.translate(x, y);
    path(ctx, standing, r);
    ctx.lineJoin = ctx.lineCap = "round";
    const isStroke = standing === 1 || standing === 5;
    ctx.strokeStyle = paint.surface;
    ctx.lineWidth = isStroke ? r * 0.5 + 3 : 2.5;
    ctx.stroke();
    if (isStroke) {
      if (standing === 1) {
        ctx.fillStyle = paint.surface;
        ctx.fill();
      }
      ctx.strokeStyle = paint.tones[standing];
      ctx.lineWidth = r * 0.5;
      ctx.stroke();
    } else {
      ctx.fillStyle = paint.tones[standing];
      ctx.fill();
    }
    ctx.restore();
  };

  const radiusOf = (count) => Math.min(30, 13 + 3.2 * Math.log10(count));
  const short = (count) => {
    if (count < 10_000) return String(count);
    return count < 1_000_000 ? `${Math.round(count / 1000)}k` : `${(count / 1_000_000).toFixed(1)}M`;
  };

  /** Clusters that would cover one another are one. */
  const merged = (cells, scale) => {
    const kept = [];
    for (const cell of [...cells].sort((one, other) => other.count - one.count)) {
      const reach = (other) => (radiusOf(other.count) + radiusOf(cell.count)) * 0.85;
      const near = kept.find((other) => Math.hypot(other.x - cell.x, other.y - cell.y) * scale < reach(other));
      if (!near) {
        kept.push({ ...cell });
        continue;
      }
      const count = near.count + cell.count;
      for (const name of ["x", "y", "lat", "lng"]) near[name] = (near[name] * near.count + cell[name] * cell.count) / count;
      near.counts = near.counts.map((one, standing) => one + cell.counts[standing]);
      near.count = count;
    }
    return kept;
  };

  const Layer = L.Renderer.extend({
    options: { padding: 0.35 },

    initialize(options) {
      L.Renderer.prototype.initialize.call(this, options);
      this._dots = [];
      this._cells = [];
      this._labels = [];
      this._sprites = new Map();
      this._glides = 0;
      this.selected = null;
      this.isBare = false; // no tiles: lines of the grid and the names of cities instead
    },

    getEvents() {
      const events = L.Renderer.prototype.getEvents.call(this);
      events.move = this._follow;
      return events;
    },

    _initContainer() {
      this._container = L.DomUtil.create("canvas", "fleet-dots");
      this._container.setAttribute("aria-hidden", "true");
      this._ctx = this._container.getContext("2d");
    },

    _destroyContainer() {
      cancelAnimationFrame(this._frame);
      this._container.remove();
      delete this._ctx;
    },

    _follow() {
      if (this._map._animatingZoom || !this._bounds) return;
      const seen = this._map.getSize();
      const corner = this._map.containerPointToLayerPoint([0, 0]);
      const inside = this._bounds.contains(corner) && this._bounds.contains(corner.add(seen));
      if (!inside) this._update();
    },

    _update() {
      if (this._map._animatingZoom && this._bounds) return;
      L.Renderer.prototype._update.call(this);
      const size = this._bounds.getSize();
      const ratio = (this._ratio = Math.min(2, window.devicePixelRatio || 1));
      L.DomUtil.setPosition(this._container, this._bounds.min);
      const [width, height] = [Math.round(size.x * ratio), Math.round(size.y * ratio)];
      if (this._container.width !== width || this._container.height !== height) {
        this._container.width = width;
        this._container.height = height;
        this._container.style.width = `${size.x}px`;
        this._container.style.height = `${size.y}px`;
      }
      this.draw();
    },

    // --- What there is ---
    /** Vehicles by id. Whoever was there before glides to where it is now. */
    setDots(vehicles, cells) {
      const before = new Map(this._dots.map((dot) => [dot.id, dot]));
      const now = performance.now();
      const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this._dots = vehicles.map((vehicle) => {
        const dot = { ...vehicle, ...this._world(vehicle.lat, vehicle.lng) };
        const was = before.get(dot.id);
        if (was && !isStill && (was.x !== dot.x || was.y !== dot.y)) {
          const at = this._placeOf(was, now);
          Object.assign(dot, { fromX: at.x, fromY: at.y, since: now });
          this._glides = now + GLIDE;
        }
        return dot;
      });
      this._cells = cells.map((cell) => ({ ...cell, ...this._world(cell.lat, cell.lng) }));
      this._grouped = null;
      this._animate();
    },
    /** At this zoom: the vehicles to draw one by one, and clusters instead of those that would hide one another. */
    _group() {
      const zoom = this._map.getZoom();
      if (this._grouped?.zoom === zoom) return this._grouped;
      const grouped = (this._grouped = { zoom, dots: this._dots, cells: this._cells });
      if (zoom < APART && this._dots.length > CROWD) this._crowd(grouped, zoom);
      grouped.cells = merged(grouped.cells, 2 ** zoom);
      return grouped;
    },
    _crowd(grouped, zoom) {
      const scale = 2 ** zoom / CELL;
      const cells = new Map();
      for (const dot of this._dots) {
        const key = Math.floor(dot.x * scale) * 2 ** 24 + Math.floor(dot.y * scale);
        if (!cells.has(key)) cells.set(key, []);
        cells.get(key).push(dot);
      }
      grouped.dots = [];
      grouped.cells = [...this._cells];
      for (const dots of cells.values()) {
        if (dots.length <= CROWD) {
          grouped.dots.push(...dots);
          continue;
        }
        const counts = TONES.map((_tone, standing) => dots.filter((dot) => dot.standing === standing).length);
        const mean = (name) => dots.reduce((sum, dot) => sum + dot[name], 0) / dots.length;
        grouped.cells.push({ count: dots.length, counts, lat: mean("lat"), lng: mean("lng"), x: mean("x"), y: mean("y") });
      }
    },
    setLabels(labels) {
      this._labels = labels.map((label) => ({ ...label, ...this._world(label.lat, label.lng) }));
    },
    repaint() {
      this._sprites.clear();
      this._paint = null;
      if (this._ctx) this.draw();
    },

    _world(lat, lng) {
      const { x, y } = L.CRS.EPSG3857.latLngToPoint(L.latLng(lat, lng), 0);
      return { x, y };
    },
    _placeOf(dot, now) {
      if (dot.since === undefined || now >= dot.since + GLIDE) return dot;
      const part = (now - dot.since) / GLIDE;
      const eased = 1 - (1 - part) ** 3;
      return { x: dot.fromX + (dot.x - dot.fromX) * eased, y: dot.fromY + (dot.y - dot.fromY) * eased };
    },
    _animate() {
      if (!this._ctx) return;
      cancelAnimationFrame(this._frame);
      this._frame = requestAnimationFrame(() => {
        if (!this._map._animatingZoom) this.draw();
        if (performance.now() < this._glides) this._animate();
      });
    },

    /** From the world's pixels at zoom 0 to those of the canvas; the turn of the globe that is nearest to the middle. */
    _projector() {
      const scale = 2 ** this._map.getZoom();
      const origin = this._map.getPixelOrigin().add(this._bounds.min);
      const middle = this._map.project(this._map.getCenter(), 0).x;
      return (place) => ({
        x: (place.x + 256 * Math.round((middle - place.x) / 256)) * scale - origin.x,
        y: place.y * scale - origin.y,
      });
    },

    // --- Drawing ---
    draw() {
      const started = performance.now();
      const ctx = this._ctx;
      const paint = (this._paint ??= colours());
      const size = this._bounds.getSize();
      const now = performance.now();
      const to = this._projector();
      ctx.setTransform(this._ratio, 0, 0, this._ratio, 0, 0);
      ctx.clearRect(0, 0, size.x, size.y);
      if (this.isBare) this._drawGrid(ctx, paint, size);
      const { dots, cells } = this._group();
      for (const dot of dots) {
        const { x, y } = to(this._placeOf(dot, now));
        if (x < -20 || y < -20 || x > size.x + 20 || y > size.y + 20) continue;
        const sprite = this._sprite(dot.standing, paint);
        const edge = sprite.width / this._ratio;
        ctx.drawImage(sprite, x - edge / 2, y - edge / 2, edge, edge);
      }
      for (const cell of cells) this._drawCluster(ctx, paint, cell, to(cell));
      if (this.isBare) this._drawLabels(ctx, paint, to);
      const chosen = this._dots.find((dot) => dot.id === this.selected);
      if (chosen) {
        const { x, y } = to(this._placeOf(chosen, now));
        ctx.beginPath();
        ctx.arc(x, y, RADIUS + 6, 0, 2 * Math.PI);
        ctx.lineWidth = 5;
        ctx.strokeStyle = paint.surface;
        ctx.stroke();
        ctx.lineWidth = 2.5;
        ctx.strokeStyle = paint.ink;
        ctx.stroke();
      }
      this.took = performance.now() - started;
    },

    _sprite(standing, paint) {
      let sprite = this._sprites.get(standing);
      if (!sprite) {
        const edge = 2 * RADIUS + 10;
        sprite = document.createElement("canvas");
        sprite.width = sprite.height = Math.round(edge * this._ratio);
        const ctx = sprite.getContext("2d");
        ctx.scale(this._ratio, this._ratio);
        shape(ctx, standing, edge / 2, edge / 2, RADIUS, paint);
        this._sprites.set(standing, sprite);
      }
      return sprite;
    },

    _drawCluster(ctx, paint, cell, { x, y }) {
      const r = radiusOf(cell.count);
      let angle = -Math.PI / 2;
      ctx.beginPath();
      ctx.arc(x, y, r + 1.5, 0, 2 * Math.PI);
      ctx.fillStyle = paint.surface;
      ctx.fill();
      cell.counts.forEach((count, standing) => {
        if (!count) return;
        const next = angle + (2 * Math.PI * count) / cell.count;
        ctx.beginPath();
        ctx.arc(x, y, r - 2, angle, next);
        ctx.lineWidth = 4;
        ctx.strokeStyle = paint.tones[standing];
        // What is on its way differs from what has arrived by its gaps, as the open dot differs from the full one.
        ctx.setLineDash(standing === 1 ? [3, 2] : []);
        ctx.stroke();
        angle = next;
      });
      ctx.setLineDash([]);
      ctx.fillStyle = paint.ink;
      ctx.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillText(short(cell.count), x, y + 0.5);
    },

    _drawGrid(ctx, paint, size) {
      const steps = [30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
      const perDegree = (256 * 2 ** this._map.getZoom()) / 360;
      const step = steps.findLast((one) => one * perDegree >= 90) ?? steps[0];
      const corner = this._map.layerPointToLatLng(this._bounds.min);
      const opposite = this._map.layerPointToLatLng(this._bounds.max);
      const at = (lat, lng) => this._map.latLngToLayerPoint([lat, lng]).subtract(this._bounds.min);
      ctx.strokeStyle = paint.line;
      ctx.lineWidth = 1;
      ctx.beginPath();
      for (let lng = Math.ceil(corner.lng / step) * step; lng <= opposite.lng; lng += step) {
        const x = Math.round(at(0, lng).x) + 0.5;
        ctx.moveTo(x, 0);
        ctx.lineTo(x, size.y);
      }
      const south = Math.max(-85, opposite.lat);
      for (let lat = Math.ceil(south / step) * step; lat <= Math.min(85, corner.lat); lat += step) {
        const y = Math.round(at(lat, 0).y) + 0.5;
        ctx.moveTo(0, y);
        ctx.lineTo(size.x, y);
      }
      ctx.stroke();
    },

    _drawLabels(ctx, paint, to) {
      ctx.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
      ctx.textAlign = "center";
      ctx.textBaseline = "top";
      ctx.lineWidth = 4;
      ctx.lineJoin = "round";
      const taken = [];
      for (const label of this._labels) {
        const { x, y } = to(label);
        const half = ctx.measureText(label.text).width / 2 + 4;
        const box = [x - half, y + 20, x + half, y + 36];
        if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
        taken.push(box);
        ctx.strokeStyle = paint.surface;
        ctx.strokeText(label.text, x, y + 22);
        ctx.fillStyle = paint.ink;
        ctx.fillText(label.text, x, y + 22);
      }
    },

    // --- What a click means ---
    /** The vehicles at a point of the map's container, the nearest first; else the cluster there. */
    at(point) {
      const offset = this._map.containerPointToLayerPoint(point).subtract(this._bounds.min);
      const to = this._projector();
      const distance = (place) => {
        const { x, y } = to(place);
        return Math.hypot(x - offset.x, y - offset.y);
      };
      const drawn = this._group();
      const dots = drawn.dots.map((dot) => ({ dot, far: distance(dot) })).filter(({ far }) => far <= FINGER);
      dots.sort((one, other) => one.far - other.far);
      const cell = drawn.cells.findLast((one) => distance(one) <= radiusOf(one.count) + 2);
      return { dots: dots.map(({ dot }) => dot), cell };
    },
  });

  return { Layer, shape, colours };
})();

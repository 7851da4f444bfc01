// From a quilt to the panel: for each subpixel the view that its lens sends, and that view's colour at this place.
// The first line, which names the dialect, is put in by lenticular.fragment_source(). Every uniform comes from
// lenticular.uniforms(), the plain twin is lenticular.interlace(). No mediump: half floats would be off by whole lenses.

uniform sampler2D quilt;   // top row first, no mipmaps, linear filter
uniform vec2 corner;       // panel pixel under the viewport's lower left corner
uniform vec2 panel;        // pixels
uniform vec2 coarse;       // lenses per pixel to the right and up, to so few bits that times a pixel it is exact
uniform vec2 fine;         // what coarse leaves out
uniform vec3 pattern;      // a pixel's cell is (x, y) . pattern.xy modulo pattern.z
uniform vec3 phases[4];    // of red, green and blue in each cell, in lenses
uniform vec2 sweep;        // place across the fan of views, 0..1, is sweep.x + sweep.y * phase
uniform vec2 grid;         // columns, views
uniform vec2 tile;         // size of a tile as a share of the quilt
uniform vec2 inset;        // half a texel as a share of a tile
uniform vec2 fit;          // panel over picture: above 1 leaves a border, below 1 cuts off
uniform float focus;       // tile widths by which the outermost views slide
uniform vec3 fan;          // yaw of view 0, yaw from view to view, picture width over focal length
uniform float blend;       // 1 mixes two neighbouring views, 0 takes the nearest

out vec4 colour;

vec3 seen(float view, float across, vec2 place) {
    view = clamp(view, 0.0, grid.y - 1.0);
    vec2 off = place - 0.5;
    off.x += (2.0 * across - 1.0) * focus;
    // an orbiting camera keystones the glass: offaxis.homographies()
    float yaw = fan.x + fan.y * view;
    // Series, to 2e-6 up to 40 degrees: cos() may be off by 2^-11 (Vulkan), and SwiftShader's is by 1.9e-4, 4/255 at edges.
    float square = yaw * yaw;
    float sine = yaw * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0)));
    float cosine = 1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0));
    float nearness = 1.0 - off.x * sine * fan.z;
    off = vec2(off.x * cosine, off.y) / nearness;
    vec2 inside = clamp(off + 0.5, inset, 1.0 - inset); // linear filtering must not reach into the next tile
    float row = floor((view + 0.5) / grid.x);
    vec2 at = (vec2(view - row * grid.x, row) + inside) * tile;
    return textureLod(quilt, vec2(at.x, 1.0 - at.y), 0.0).rgb;
}

void main() {
    vec2 pixel = floor(gl_FragCoord.xy) + corner;
    vec2 place = ((pixel + 0.5) / panel - 0.5) * fit + 0.5;
    vec2 lenses = fract(pixel * coarse) + pixel * fine;
    vec3 phase = fract(lenses.x + lenses.y + phases[int(mod(dot(pixel, pattern.xy) + 0.5, pattern.z))]);
    vec3 across = clamp(sweep.x + sweep.y * phase, 1e-5, 0.999999);
    vec3 views = floor(across * grid.y);
    vec3 mixed = vec3(seen(views.r, across.r, place).r, seen(views.g, across.g, place).g, seen(views.b, across.b, place).b);
    if (blend > 0.0) {
        vec3 next = across + 1.0 / grid.y;
        vec3 other = vec3(
            seen(views.r + 1.0, next.r, place).r, seen(views.g + 1.0, next.g, place).g, seen(views.b + 1.0, next.b, place).b
        );
        mixed = mix(mixed, other, across * grid.y - views);
    }
    bool shown = all(greaterThanEqual(place, vec2(0.0))) && all(lessThanEqual(place, vec2(1.0)));
    colour = vec4(shown ? mixed : vec3(0.0), 1.0);
}

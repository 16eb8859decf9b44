//! A series is a heap of images. This finds the stacks in it.
//!
//! Geometry decides. Images of one grid that lie in line belong together, whatever their labels say: scanners write a
//! time per slice, and acquisition numbers change within one scan. Labels separate images only where geometry shows that
//! two stacks share a place: where an image lies inside a run of slices that is whole without it.

use super::geometry::{dot, norm};
use super::labels::Label;
use super::lattice::{SAME_POSITION, longest_chain, tolerance, whole_steps};
use super::slice_header::SliceHeader;

/// Slices in a row that prove a stack.
const RUN: usize = 8;
/// Fewest slices whose steps tell what else belongs to them.
const CHAIN: usize = 3;
/// A gap that is longer than this, in millimetres, may end a scan; a shorter one is slices that are missing.
const FAR: f64 = 30.0;
/// How near to a half or a third of a step an image must lie to be a slice of a finer stack, as a share of the step.
const SHARE_TOLERANCE: f64 = 0.05;
/// So many images that do not follow the steps of a stack, at its end, are none of its slices.
const FEW: usize = 2;
/// How far an image may lie beside the one before it: rounding, and the shear of a tilted gantry (30 degrees) over no
/// more than the thickest slices.
const BESIDE: f64 = 0.3;
const SHEAR: f64 = 0.6;
const LONGEST_STEP: f64 = 6.0;

/// Images at one place along a stack.
#[derive(Debug)]
pub(super) struct Place {
    /// Millimetres along the normal of the image plane.
    pub(super) at: f64,
    pub(super) images: Vec<SliceHeader>,
}

/// Groups images by grid and scan, in the order of their first images.
pub(super) fn by_grid(images: Vec<SliceHeader>) -> Vec<Vec<SliceHeader>> {
    let mut groups: Vec<Vec<SliceHeader>> = Vec::new();
    for image in images {
        match groups.iter_mut().find(|group| group[0].scan == image.scan && group[0].grid.agrees(&image.grid)) {
            Some(group) => group.push(image),
            None => groups.push(vec![image]),
        }
    }
    groups
}

/// Separates images of one grid into stacks, and what belongs to none; each lowest first.
pub(super) fn separate(images: Vec<SliceHeader>, normal: [f64; 3]) -> Vec<Vec<Place>> {
    let mut open = in_line(images, normal);
    open.reverse();
    let mut found = Vec::new();
    while let Some(images) = open.pop() {
        let mut layers = by_labels(images, normal);
        if layers.len() == 1 {
            let (stack, strays) = in_step(places(layers.remove(0), normal));
            found.push(stack);
            layers = if strays.is_empty() { Vec::new() } else { vec![strays] };
        }
        open.extend(layers.into_iter().rev());
    }
    found
}

fn sorted(mut images: Vec<SliceHeader>, normal: [f64; 3]) -> Vec<SliceHeader> {
    images.sort_by(|a, b| {
        let order = a.along(normal).total_cmp(&b.along(normal));
        order.then_with(|| a.image.cmp(&b.image)).then_with(|| a.stored.cmp(&b.stored))
    });
    images
}

/// Images by place, lowest first.
fn places(images: Vec<SliceHeader>, normal: [f64; 3]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::with_capacity(images.len());
    for image in sorted(images, normal) {
        let at = image.along(normal);
        match places.last_mut() {
            Some(place) if at - place.at < SAME_POSITION => place.images.push(image),
            _ => places.push(Place { at, images: vec![image] }),
        }
    }
    places
}

/// Groups images whose first pixels lie above each other.
fn in_line(images: Vec<SliceHeader>, normal: [f64; 3]) -> Vec<Vec<SliceHeader>> {
    let mut lines: Vec<Vec<SliceHeader>> = Vec::new();
    for image in sorted(images, normal) {
        let beside = |line: &Vec<SliceHeader>| {
            let last = line.last()?;
            let offset: [f64; 3] = std::array::from_fn(|axis| image.position[axis] - last.position[axis]);
            let height = dot(offset, normal);
            let distance = norm(std::array::from_fn(|axis| offset[axis] - height * normal[axis]));
            (distance <= BESIDE + SHEAR * height.min(LONGEST_STEP)).then_some(distance)
        };
        let near = lines.iter().enumerate().filter_map(|(index, line)| Some((index, beside(line)?)));
        match near.min_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((index, _)) => lines[index].push(image),
            None => lines.push(vec![image]),
        }
    }
    lines
}

/// Separates images by the first label that tells stacks at the same places apart; one group if none does.
fn by_labels(mut images: Vec<SliceHeader>, normal: [f64; 3]) -> Vec<Vec<SliceHeader>> {
    for label in Label::ALL {
        let values = images.iter().map(|image| image.labels.get(label).map(str::to_owned)).collect();
        let mut layers = layers(images, values, normal);
        if layers.len() > 1 {
            return layers;
        }
        images = layers.pop().unwrap_or_default();
    }
    let values = passes(&images, normal);
    layers(images, values, normal)
}

/// Images that share a value of a label.
struct Part {
    value: Option<String>,
    images: Vec<SliceHeader>,
    /// The ends of the longest run of slices, half a step within: what lies between them and is not of this part
    /// belongs to something else.
    run: Option<[f64; 2]>,
}

/// Puts parts that can be of one scan together, in the order of their values.
fn layers(images: Vec<SliceHeader>, values: Vec<Option<String>>, normal: [f64; 3]) -> Vec<Vec<SliceHeader>> {
    if values.windows(2).all(|pair| pair[0] == pair[1]) {
        return vec![images];
    }
    let mut layers: Vec<Vec<Part>> = Vec::new();
    for part in parts(images, values, normal) {
        match layers.iter_mut().find(|layer| !layer.iter().any(|other| collide(&part, other, normal))) {
            Some(layer) => layer.push(part),
            None => layers.push(vec![part]),
        }
    }
    layers.into_iter().map(|layer| layer.into_iter().flat_map(|part| part.images).collect()).collect()
}

fn parts(images: Vec<SliceHeader>, values: Vec<Option<String>>, normal: [f64; 3]) -> Vec<Part> {
    let mut tagged: Vec<(Option<String>, SliceHeader)> = values.into_iter().zip(images).collect();
    tagged.sort_by(|a, b| in_order(a.0.as_deref(), b.0.as_deref()));
    let mut parts: Vec<Part> = Vec::new();
    for (value, image) in tagged {
        match parts.last_mut() {
            Some(part) if part.value == value => part.images.push(image),
            _ => parts.push(Part { value, images: vec![image], run: None }),
        }
    }
    for part in &mut parts {
        part.run = run(&part.images, normal);
    }
    parts
}

/// Numbers by size, other texts after them.
fn in_order(a: Option<&str>, b: Option<&str>) -> std::cmp::Ordering {
    let number = |value: Option<&str>| value.and_then(|text| text.parse().ok()).unwrap_or(f64::INFINITY);
    number(a).total_cmp(&number(b)).then_with(|| a.cmp(&b))
}

fn run(images: &[SliceHeader], normal: [f64; 3]) -> Option<[f64; 2]> {
    if images.len() < RUN {
        return None;
    }
    let mut places: Vec<f64> = images.iter().map(|image| image.along(normal)).collect();
    places.sort_by(f64::total_cmp);
    places.dedup_by(|next, before| *next - *before < SAME_POSITION);
    let chain = longest_chain(&places).filter(|chain| chain.members.len() >= RUN)?;
    let [first, last] = [chain.members[0], chain.members[chain.members.len() - 1]].map(|index| places[index]);
    Some([first + chain.step / 2.0, last - chain.step / 2.0])
}

/// True if an image of one part lies inside the run of the other.
fn collide(a: &Part, b: &Part, normal: [f64; 3]) -> bool {
    let inside =
        |run: [f64; 2], part: &Part| part.images.iter().any(|image| (run[0]..=run[1]).contains(&image.along(normal)));
    a.run.is_some_and(|run| inside(run, b)) || b.run.is_some_and(|run| inside(run, a))
}

/// The pass through the body that each image belongs to: in the order of their numbers, a pass ends where the next
/// image does not go on in its direction.
fn passes(images: &[SliceHeader], normal: [f64; 3]) -> Vec<Option<String>> {
    let mut order: Vec<usize> = (0..images.len()).filter(|index| images[*index].order().is_some()).collect();
    order.sort_by_key(|index| images[*index].order());
    let mut passes = vec![None; images.len()];
    let (mut pass, mut direction, mut last) = (0, 0.0, None);
    for index in order {
        let at = images[index].along(normal);
        let step = last.map_or(0.0, |last: f64| at - last);
        if last.is_some() && (step.abs() < SAME_POSITION || step * direction < 0.0) {
            pass += 1;
            direction = 0.0;
        } else {
            direction = step;
        }
        passes[index] = Some(pass.to_string());
        last = Some(at);
    }
    passes
}

/// What comes next at an end of a stack.
enum Next {
    /// A slice of it, or a gap or break that its reader must know of.
    Slice,
    /// An image that does not follow its steps.
    Stray,
    /// Another scan: from here on nothing belongs to it.
    Apart,
}

/// Splits places into those of one stack, its gaps included, and the images of all others.
fn in_step(places: Vec<Place>) -> (Vec<Place>, Vec<SliceHeader>) {
    let positions: Vec<f64> = places.iter().map(|place| place.at).collect();
    // Of few slices in a row among many that are not, nothing can be told.
    let fewest = CHAIN.max(places.len() / 4);
    let Some(chain) = longest_chain(&positions).filter(|chain| chain.members.len() >= fewest) else {
        return (places, Vec::new());
    };
    let mut belongs = vec![false; places.len()];
    for index in &chain.members {
        belongs[*index] = true;
    }
    let (first, last) = (chain.members[0], chain.members[chain.members.len() - 1]);
    let below: Vec<usize> = (0..first).rev().collect();
    let above: Vec<usize> = (last + 1..places.len()).collect();
    for (end, beyond) in [(first, below), (last, above)] {
        extend(&places, chain.step, end, &beyond, &mut belongs);
    }
    if lost_between(&positions, &belongs, chain.step) {
        return (places, Vec::new());
    }
    let (mut stack, mut strays) = (Vec::new(), Vec::new());
    for (place, belongs) in places.into_iter().zip(belongs) {
        if belongs { stack.push(place) } else { strays.extend(place.images) }
    }
    (stack, strays)
}

/// True if what lies between the slices of a stack halves or thirds its steps: it is a finer stack that lost slices.
fn lost_between(positions: &[f64], belongs: &[bool], step: f64) -> bool {
    let mut shares = [0; 3];
    let mut below = None;
    let last = belongs.iter().rposition(|own| *own).unwrap_or_default();
    for (position, own) in positions.iter().zip(belongs).take(last) {
        if *own {
            below = Some(*position);
        }
        let Some(below) = below else { continue };
        for (share, count) in [1.0 / 2.0, 1.0 / 3.0, 2.0 / 3.0].into_iter().zip(&mut shares) {
            *count += usize::from(((position - below) / step - share).abs() < SHARE_TOLERANCE);
        }
    }
    let [halves, thirds, two_thirds] = shares;
    halves >= CHAIN || thirds.min(two_thirds) >= CHAIN
}

/// Goes outwards from an end of a stack and marks what belongs to it.
fn extend(places: &[Place], step: f64, end: usize, beyond: &[usize], belongs: &mut [bool]) {
    let mut end = end;
    for (passed, index) in beyond.iter().enumerate() {
        let inside: Vec<&Place> =
            places.iter().zip(&*belongs).filter(|(_, own)| **own).map(|(place, _)| place).collect();
        let rest: Vec<&Place> = beyond[passed..].iter().map(|index| &places[*index]).collect();
        match next(step, &places[end], &inside, &rest) {
            Next::Slice => {
                belongs[*index] = true;
                end = *index;
            }
            Next::Stray => {}
            Next::Apart => return,
        }
    }
}

/// Judges the first place of `rest`, which lies beyond the end of a stack.
///
/// A gap is missing slices until something else is shown. Shown is another scan by labels that differ on its two sides,
/// together with another step or a gap that is long; or by a long gap before less than it would have lost. Numbers
/// that jump with the positions prove a loss.
fn next(step: f64, end: &Place, inside: &[&Place], rest: &[&Place]) -> Next {
    let gap = (rest[0].at - end.at).abs();
    let steps = whole_steps(gap, step);
    if steps == Some(1) {
        return Next::Slice;
    }
    if steps.is_none() && (gap < step || rest.len() <= FEW) {
        return Next::Stray;
    }
    let few = gap > FAR && (rest.len() as f64) * step < gap;
    let other_scan = match steps {
        Some(steps) if is_loss(end, rest[0], steps) => false,
        Some(_) => few || (relabelled(inside, rest) && (gap > FAR || has_other_step(rest, step))),
        None => few || relabelled(inside, rest),
    };
    if other_scan { Next::Apart } else { Next::Slice }
}

/// True if the numbers of the images on both sides of a gap count the slices that are missing in it.
fn is_loss(end: &Place, next: &Place, steps: usize) -> bool {
    end.images[0].numbers_apart(&next.images[0]) == Some(steps as u64)
}

/// True if some label has one value inside and another one in the rest.
fn relabelled(inside: &[&Place], rest: &[&Place]) -> bool {
    fn common<'a>(places: &[&'a Place], label: Label) -> Option<&'a str> {
        let images = places.iter().flat_map(|place| &place.images);
        let mut values = images.map(|image| image.labels.get(label).unwrap_or_default());
        let first = values.next()?;
        values.all(|value| value == first).then_some(first)
    }
    Label::ALL.into_iter().any(|label| {
        let pair = common(inside, label).zip(common(rest, label));
        pair.is_some_and(|(inside, rest)| inside != rest)
    })
}

/// True if the rest is mostly a stack of another step.
fn has_other_step(rest: &[&Place], step: f64) -> bool {
    let mut places: Vec<f64> = rest.iter().map(|place| place.at).collect();
    places.sort_by(f64::total_cmp);
    longest_chain(&places).is_some_and(|chain| {
        let length = chain.members.len();
        length >= CHAIN && 2 * length >= rest.len() && (chain.step - step).abs() > tolerance(step)
    })
}

//! Hounsfield units of the tissues, while the contrast fills the pulmonary arteries: what the aorta supplies is a
//! little brighter than without contrast, what drains into late veins is not yet.

pub(super) const AIR: f32 = -1000.0;
/// The gas in airways and stomach: a little denser than air, as the walls around it scatter.
pub(super) const AIRWAY: f32 = -990.0;
pub(super) const STOMACH_GAS: f32 = -985.0;
/// Lung at a full breath, between its vessels, half-way from the front to the back.
pub(super) const LUNG: f32 = -868.0;
/// The oesophagus is collapsed around some swallowed air.
pub(super) const OESOPHAGUS_LUMEN: f32 = -250.0;
pub(super) const FAT: f32 = -100.0;

pub(super) const SKIN: f32 = 20.0;
pub(super) const MUSCLE: f32 = 52.0;
/// Walls of vessels and of the oesophagus.
pub(super) const SOFT: f32 = 38.0;
/// Walls of bronchi, and what surrounds arteries where there is oedema: half water.
pub(super) const BRONCHIAL_WALL: f32 = 20.0;
pub(super) const CUFF: f32 = 25.0;
pub(super) const MUCUS: f32 = 28.0;
pub(super) const NODULE: f32 = 35.0;
pub(super) const LYMPH_NODE: f32 = 52.0;
/// Collapsed lung keeps its blood, and so takes up contrast.
pub(super) const COLLAPSED_LUNG: f32 = 65.0;
pub(super) const MYOCARDIUM: f32 = 105.0;
/// Blood without contrast: what unmixed blood in an artery comes down to.
pub(super) const BLOOD: f32 = 45.0;
/// Veins that the contrast reaches late: it has begun to come back from the head and the kidneys.
pub(super) const LATE_VEIN: f32 = 75.0;
/// Liver and spleen in the arterial phase.
pub(super) const LIVER: f32 = 88.0;
pub(super) const SPLEEN: f32 = 100.0;
pub(super) const STOMACH: f32 = 25.0;

pub(super) const CARTILAGE: f32 = 95.0;
pub(super) const CORTEX: f32 = 620.0;
pub(super) const MARROW: f32 = 190.0;
/// The shell of a vertebral body is thinner than a voxel: part of its brightness is lost.
pub(super) const VERTEBRAL_SHELL: f32 = 420.0;
pub(super) const SPONGIOSA: f32 = 165.0;
pub(super) const SPINAL_CANAL: f32 = 30.0;

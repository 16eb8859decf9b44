//! Findings as DICOM objects.

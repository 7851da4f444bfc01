"""One frame on one device, part by part."""

"""Images: radiographs, ultrasound, photographs."""

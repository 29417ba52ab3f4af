"""Parts of networks that encoders of all modalities share."""

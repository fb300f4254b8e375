"""Architecture builders."""

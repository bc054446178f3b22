"""WHAT THEY WILL BE WORTH: purchases and money of the coming year, by models that are fitted from the stream (MISSION D2, D3, D6)."""

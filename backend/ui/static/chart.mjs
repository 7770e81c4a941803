// A chart that is wider than the screen begins at today, not a week ago.
const today = document.querySelector(".chart [aria-current]");
if (today) today.closest(".sideways").scrollLeft = today.offsetLeft;

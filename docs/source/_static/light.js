// One palette: figures and equations are made for a light page.
document.body.dataset.theme = 'light'
